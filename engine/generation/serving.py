"""The generators of one child: one for the reasoner's weights, and another only where the reflector has its own.

Two generators share the device, so each gets half of the memory that the settings give to one. Knows nothing of
questions, stages or the database.
"""

from __future__ import annotations

from engine.generation.base import Make
from engine.models.weights import PolicyWeights
from store.settings import GenerationSection


def share(settings: GenerationSection, reasoner: PolicyWeights, reflector: PolicyWeights) -> GenerationSection:
    """The settings of each generator: half of the device's memory where the two roles need one each."""
    if reasoner == reflector:
        return settings
    return settings.model_copy(
        update={"memory_gib": settings.memory_gib / 2, "gpu_memory_share": settings.gpu_memory_share / 2}
    )


class Serving:
    """The generators of a reasoner and a reflector, started, paused and closed together."""

    def __init__(
        self, make: Make, reasoner: PolicyWeights, reflector: PolicyWeights, settings: GenerationSection, seed: int
    ) -> None:
        part = share(settings, reasoner, reflector)
        self.reasoner = make(reasoner, part, seed)
        self.reflector = self.reasoner if reasoner == reflector else make(reflector, part, seed)
        self._all = list(dict.fromkeys((self.reasoner, self.reflector)))

    async def start(self) -> None:
        """Load the policies one after another: each takes its share of what is free by then."""
        for generator in self._all:
            await generator.start()

    async def pause(self) -> None:
        """Stop computing within a step; what is in flight is kept."""
        for generator in self._all:
            await generator.pause()

    async def resume(self) -> None:
        """Go on after a pause."""
        for generator in self._all:
            await generator.resume()

    async def close(self) -> None:
        """Give the device back, also when one of them can't be closed in order."""
        try:
            await self.reasoner.close()
        finally:
            if self.reflector is not self.reasoner:
                await self.reflector.close()
