"""The generators of one child: one for the reasoner's weights, and another only where the reflector has its own.

Two generators share the device, so each gets half of the memory that the settings give to one. Knows nothing of
questions, stages or the database.
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
"""Time between two looks at what the supervisor asks for."""


def share(settings: GenerationSection, reasoner: PolicyWeights, reflector: PolicyWeights) -> GenerationSection:
    """The settings of each generator: half of the device's memory where the two roles need one each."""
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
        """Load the policies one after another: each takes its share of what is free by then."""
        for generator in self._all:
            await generator.start()

    async def set_paused(self, paused: bool) -> None:
        """Stop computing within a step, keeping what is in flight, or continue; nothing when that is so already."""
        if paused == self.paused:
            return
        self.paused = paused
        for generator in self._all:
            await (generator.pause() if paused else generator.resume())

    async def follow(self, wants_pause: Callable[[], bool], looked: Callable[[], None] = lambda: None) -> None:
        """Pause and resume as `wants_pause` says, until cancelled; `looked` is called after each look."""
        while True:
            await self.set_paused(wants_pause())
            looked()
            await asyncio.sleep(LISTEN_SECONDS)

    async def close(self) -> None:
        """Give the device back, also when one of them can't be closed in order."""
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
    """The generators that the settings choose, not started yet. `warn` gets the reason when it isn't the usual one.

    Raises:
        EngineError: when no such generator is installed, or it needs weights that aren't there.
    """
    # vLLM's CPU backend reads how much memory it may use when it is imported, and choosing imports it.
    set_cpu_environment(share(settings, reasoner, reflector))
    chosen = choose(settings.generator)
    if chosen.note:
        warn(chosen.note)
    if needs_weights(chosen.name):
        for weights in (reasoner, reflector):
            require_weights(weights)
    return Serving(MAKERS[chosen.name], reasoner, reflector, settings, seed, chosen.name)
