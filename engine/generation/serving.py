"""The generators of a worker process: one for the reasoner, and a second one where the reflector has its own weights.

Two generators share the device, so each uses half of the memory in the settings. Independent of questions, stages and
the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.generation import MAKERS, choose
from engine.generation.base import Make
from engine.generation.vllm import set_cpu_environment
from engine.models.weights import PolicyWeights, require_weights
from store.settings import GenerationSection
from store.settings.generation import needs_weights

LISTEN_SECONDS = 0.1
"""Interval at which requests of the supervisor are polled, in seconds."""


def share(settings: GenerationSection, reasoner: PolicyWeights, reflector: PolicyWeights) -> GenerationSection:
    """Return the settings of each generator: half of the device's memory where the two roles need one each."""
    if reasoner == reflector:
        return settings
    return settings.model_copy(
        update={"memory_gib": settings.memory_gib / 2, "gpu_memory_share": settings.gpu_memory_share / 2}
    )


class Serving:
    """The generators of a reasoner and a reflector, started, paused and closed together."""

    paused = False
    """Whether they are paused."""

    def __init__(
        self,
        make: Make,
        reasoner: PolicyWeights,
        reflector: PolicyWeights,
        settings: GenerationSection,
        seed: int,
        name: str = "",
    ) -> None:
        self.name = name
        """Name of the generator."""
        part = share(settings, reasoner, reflector)
        self.reasoner = make(reasoner, part, seed)
        self.reflector = self.reasoner if reasoner == reflector else make(reflector, part, seed)
        self._all = list(dict.fromkeys((self.reasoner, self.reflector)))

    async def start(self) -> None:
        """Load the policies one after another, because each reserves its share of the memory that is free."""
        for generator in self._all:
            await generator.start()

    async def set_paused(self, paused: bool) -> None:
        """Pause within one step, keeping requests in flight, or resume; no effect if already in that state."""
        if paused == self.paused:
            return
        self.paused = paused
        for generator in self._all:
            await (generator.pause() if paused else generator.resume())

    async def follow(self, wants_pause: Callable[[], bool], looked: Callable[[], None] = lambda: None) -> None:
        """Pause and resume as `wants_pause` returns, until cancelled; `looked` is called after each poll."""
        while True:
            await self.set_paused(wants_pause())
            looked()
            await asyncio.sleep(LISTEN_SECONDS)

    async def close(self) -> None:
        """Release the device, even when closing one of the generators fails."""
        try:
            await self.reasoner.close()
        finally:
            if self.reflector is not self.reasoner:
                await self.reflector.close()


def serve(
    settings: GenerationSection,
    reasoner: PolicyWeights,
    reflector: PolicyWeights,
    seed: int,
    warn: Callable[[str], None],
) -> Serving:
    """Create the generators that the settings select, without starting them.

    `warn` receives the reason when the generator is not the preferred one.

    Raises:
        EngineError: When no such generator is installed, or it needs weights that are missing.
    """
    # vLLM's CPU backend reads its memory limit when it is imported, and `choose` imports it.
    set_cpu_environment(share(settings, reasoner, reflector))
    chosen = choose(settings.generator)
    if chosen.note:
        warn(chosen.note)
    if needs_weights(chosen.name):
        for weights in (reasoner, reflector):
            require_weights(weights)
    return Serving(MAKERS[chosen.name], reasoner, reflector, settings, seed, chosen.name)
