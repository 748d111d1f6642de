"""Computes an estimate of a run: texts, tokens, time, disk, memory and price by stage, from settings and figures.

This is the only place where estimates are computed: the command `estimate`, the Launch screen and the gates print its
numbers. Pure arithmetic without a database; an unknown figure remains in the result as a symbol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from store.estimates import symbolic
from store.estimates.formulas import NOTHING, Owed, StageEstimate, StageFormulas
from store.estimates.inputs import Figures
from store.estimates.symbolic import Symbolic, number
from store.records import Split
from store.settings import RunSettings

Column = Literal["texts", "prompt_tokens", "generated_tokens", "training_tokens", "seconds"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimate of a run. Sizes are in bytes, the cost is in the currency of `price_per_gpu_hour`."""

    iterations: int
    first: tuple[StageEstimate, ...]
    """Stages of the first iteration, which measures parent and child."""
    later: tuple[StageEstimate, ...]
    """Stages of each later iteration, whose parent has been measured before."""
    trajectories: Symbolic
    """Trajectories per iteration."""
    database_bytes: Symbolic
    """Database size per iteration."""
    policy_bytes: Symbolic
    """Size of one child policy."""
    generation_bytes: Symbolic
    """Memory of weights and KV cache during generation, at full concurrency with texts of mean length."""
    training_bytes: Symbolic
    """Memory of weights, optimizer and activations during training, with examples of maximum length."""
    split: Split
    """Split of the questions that promotion is decided on."""
    min_examples: int
    """Minimum number of training examples."""
    figures: Figures = field(repr=False)

    def over_all(self, part: Column) -> Symbolic:
        """Return the sum of a column over all iterations; `texts` counts generated texts only."""
        return symbolic.total(
            [
                number(times) * getattr(stage, part)
                for times, stage in self._all_stages()
                if part != "texts" or stage.stage not in ("curate", "train")
            ]
        )

    def _all_stages(self) -> list[tuple[int, StageEstimate]]:
        """Return every stage with the number of iterations it applies to."""
        return [(1, stage) for stage in self.first] + [(self.iterations - 1, stage) for stage in self.later]

    @property
    def gpu_seconds(self) -> Symbolic:
        """GPU time over all iterations, in seconds, summed over GPUs."""
        return symbolic.total([number(times) * stage_gpu_seconds(self, stage) for times, stage in self._all_stages()])

    @property
    def cost(self) -> Symbolic:
        """Price of the GPU time over all iterations."""
        return self.gpu_seconds * self.figures.term("price_per_gpu_hour") / number(3600)

    @property
    def disk_bytes(self) -> Symbolic:
        """Disk space of the database and the policies over all iterations."""
        return number(self.iterations) * (self.database_bytes + self.policy_bytes)

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the figures that were used or are missing, sorted."""
        every = [
            term
            for stage in (*self.first, *self.later)
            for term in (stage.texts, stage.prompt_tokens, stage.generated_tokens, stage.training_tokens, stage.seconds)
        ]
        every += [self.disk_bytes, self.generation_bytes, self.training_bytes, self.cost]
        return tuple(sorted(frozenset().union(*(term.uses for term in every))))


def estimate(settings: RunSettings, figures: Figures, owed: Owed | None = None) -> Estimate:
    """Estimate a run.

    Args:
        settings: of the run.
        figures: the inputs.
        owed: the outstanding work of the first iteration, if it has begun.
    """
    made = StageFormulas(settings, figures, owed or Owed())
    trajectories = made.trajectories()
    return Estimate(
        iterations=settings.iterations,
        first=made.stages(first=True),
        later=made.stages(first=False),
        trajectories=trajectories,
        database_bytes=trajectories * made.trajectory_bytes() + made.further_bytes(),
        policy_bytes=made.policy_bytes(),
        generation_bytes=made.generation_bytes(),
        training_bytes=made.training_bytes(),
        split=settings.evaluation.split,
        min_examples=settings.training.min_examples,
        figures=figures,
    )


def stage_gpu_seconds(estimate: Estimate, stage: StageEstimate) -> Symbolic:
    """Return the GPU time that a stage occupies in seconds, busy or idle; 0 on a CPU."""
    if estimate.figures["gpus"].value == 0:
        return NOTHING
    return stage.seconds * estimate.figures.term("training_gpus" if stage.stage == "train" else "gpus")


def stage_cost(estimate: Estimate, stage: StageEstimate) -> Symbolic:
    """Return the price of the GPU time of a stage."""
    return stage_gpu_seconds(estimate, stage) * estimate.figures.term("price_per_gpu_hour") / number(3600)
