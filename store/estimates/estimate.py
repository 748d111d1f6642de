"""What a run will take: texts, tokens, time, disk, memory and price, stage by stage, from settings and figures.

The one place where this is computed: the command `estimate`, the Launch screen and the gates print its numbers. Pure
arithmetic; a figure that nobody knows stays in the result by its name. Knows no database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from store.estimates import symbolic
from store.estimates.figures import Figures
from store.estimates.formulas import NOTHING, Owed, StageEstimate, StageFormulas
from store.estimates.symbolic import Symbolic, number
from store.settings import RunSettings

Column = Literal["texts", "prompt_tokens", "generated_tokens", "training_tokens", "seconds"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run takes. Sizes in bytes, the cost in the currency of the price."""

    iterations: int
    first: tuple[StageEstimate, ...]
    """The first iteration, which measures parent and child."""
    later: tuple[StageEstimate, ...]
    """Each later one, whose parent was measured before."""
    trajectories: Symbolic
    """Of one iteration."""
    database_bytes: Symbolic
    """Of one iteration."""
    policy_bytes: Symbolic
    """Of one child policy."""
    generation_bytes: Symbolic
    """Memory of weights and cache while generating, at full width with texts of mean length."""
    training_bytes: Symbolic
    """Memory of weights, optimizer and activations while training, with examples of the longest length."""
    figures: Figures = field(repr=False)

    def over_all(self, part: Column) -> Symbolic:
        """A column added up over all iterations; texts are generated ones alone."""
        return symbolic.total(
            [
                number(times) * getattr(stage, part)
                for times, stage in self._all_stages()
                if part != "texts" or stage.stage not in ("curate", "train")
            ]
        )

    def _all_stages(self) -> list[tuple[int, StageEstimate]]:
        """Every stage, and in how many iterations it is like this."""
        return [(1, stage) for stage in self.first] + [(self.iterations - 1, stage) for stage in self.later]

    @property
    def gpu_seconds(self) -> Symbolic:
        """Of every GPU, over all iterations."""
        return symbolic.total([number(times) * stage_gpu_seconds(self, stage) for times, stage in self._all_stages()])

    @property
    def cost(self) -> Symbolic:
        """Over all iterations."""
        return self.gpu_seconds * self.figures.term("price_per_gpu_hour") / number(3600)

    @property
    def disk_bytes(self) -> Symbolic:
        """Database and policies of all iterations."""
        return number(self.iterations) * (self.database_bytes + self.policy_bytes)

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the figures that went in or are missing, in order."""
        every = [
            term
            for stage in (*self.first, *self.later)
            for term in (stage.texts, stage.prompt_tokens, stage.generated_tokens, stage.training_tokens, stage.seconds)
        ]
        every += [self.disk_bytes, self.generation_bytes, self.training_bytes, self.cost]
        return tuple(sorted(frozenset().union(*(term.uses for term in every))))


def estimate(settings: RunSettings, figures: Figures, owed: Owed | None = None) -> Estimate:
    """What a run with these settings takes; with `owed`, what the first iteration still has to do."""
    made = StageFormulas(settings, figures, owed or Owed())
    trajectories = made.trajectories()
    return Estimate(
        iterations=settings.iterations,
        first=made.stages(first=True),
        later=made.stages(first=False),
        trajectories=trajectories,
        database_bytes=trajectories * made.trajectory_bytes(),
        policy_bytes=made.policy_bytes(),
        generation_bytes=made.generation_bytes(),
        training_bytes=made.training_bytes(),
        figures=figures,
    )


def stage_gpu_seconds(estimate: Estimate, stage: StageEstimate) -> Symbolic:
    """Seconds of the GPUs that a stage holds, whether they work or wait; nothing on a CPU."""
    if estimate.figures["gpus"].value == 0:
        return NOTHING
    return stage.seconds * estimate.figures.term("training_gpus" if stage.stage == "train" else "gpus")


def stage_cost(estimate: Estimate, stage: StageEstimate) -> Symbolic:
    """Price of a stage."""
    return stage_gpu_seconds(estimate, stage) * estimate.figures.term("price_per_gpu_hour") / number(3600)
