"""Results of an experiment as values: measurements, comparisons and answer formats."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from reflectevo_tui.experiment.paired_estimates import Estimate, FormatSplit, Paired
from reflectevo_tui.experiment.plan import Series
from reflectevo_tui.report.experiment_controls import SeriesControls
from store.evaluation.gains import Gain
from store.evaluation.held_out_answers import ReferenceAnswers
from store.records import Iteration, Policy
from store.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics of a policy on the test questions under one feedback type.

    `number` is the iteration within its series, 0 for the base policy.
    """

    label: str
    series: Series | None
    number: int
    policy: Policy
    kept: bool
    """Whether this is the previous policy, because the iteration produced none or its policy was rejected."""
    feedback: str
    acc_t1: Estimate
    acc_t2: Estimate
    delta: Estimate
    i_to_c: Estimate
    c_to_i: Estimate
    by_task: Mapping[str, tuple[Estimate, Estimate]]
    """Acc@t1 and Acc@t2 of each task."""
    floors: Mapping[str, float | None] = field(default_factory=dict)
    """The floor of Acc@t2 of each task, as far as it is stored; empty without an oracle."""

    @property
    def floor(self) -> float | None:
        """The floor of Acc@t2, mean over tasks; None if one is missing."""
        return mean_floor([self.floors], self.by_task)


def mean_floor(several: Sequence[Mapping[str, float | None]], tasks: Collection[str]) -> float | None:
    """Return the mean over policies and tasks of their floors; None if one is missing.

    Args:
        several: the floors of each policy by task.
        tasks: the tasks that Acc@t2 is averaged over.
    """
    found = [floors.get(task) for floors in several for task in sorted(tasks)]
    known = [floor for floor in found if floor is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None


@dataclass(frozen=True, slots=True)
class Baseline:
    """Accuracy of a baseline of the base policy."""

    name: str
    accuracy: Estimate
    uses_verdict: bool
    """Whether it uses the verdict on the first answer; without it, it is no alternative to Acc@t2 with an oracle."""


@dataclass(frozen=True, slots=True)
class Against:
    """The end of a series compared with another policy or baseline on the same questions."""

    label: str
    other: str
    paired: Paired


@dataclass(frozen=True, slots=True)
class Format:
    """Share of a policy's answers that can be parsed, and the composition of its difference to the base policy."""

    label: str
    turn: int
    verified: int
    read: int
    right: int
    split: FormatSplit | None
    """None for the base policy."""


@dataclass(frozen=True, slots=True)
class Undertaken:
    """An iteration of the experiment, with or without a resulting policy."""

    series: Series
    number: int
    iteration: Iteration
    parent: str
    child: Policy | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """The end of a series at one value of the varied setting, or the base policy; means over the trained tasks."""

    label: str
    value: str
    """The value of the setting in words; `–` for the base policy."""
    examples: tuple[int | None, ...]
    """Number of examples that each iteration trained on; None for one without a policy."""
    acc_t1: Estimate
    acc_t2: Estimate
    floor: float | None
    retry: Estimate | None
    """Accuracy with one retry without a reflection; None if it wasn't measured."""
    above_retry: Estimate | None
    """Acc@t2 less that accuracy, paired by question."""


@dataclass(frozen=True, slots=True)
class TransferResult:
    """A policy on the transfer tasks under one feedback type; means over these tasks only."""

    label: str
    feedback: str
    acc_t1: Estimate
    acc_t2: Estimate
    floor: float | None
    """Mean floor of Acc@t2; None if a task has none."""
    retry: Estimate | None
    change_t1: Estimate | None
    """Acc@t1 less that of the base policy, paired by question; None for the base policy itself."""
    change_t2: Estimate | None
    by_task: Mapping[str, tuple[Estimate, Estimate]]
    """Acc@t1 and Acc@t2 of each task."""


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """All reported values of an experiment."""

    settings: RunSettings
    series: tuple[Series, ...]
    best: Series | None
    missing: tuple[str, ...]
    references: tuple[ReferenceAnswers, ...]
    measured: tuple[Measured, ...]
    """The base policy, then each series' current policy after each iteration."""
    gains: tuple[tuple[str, Gain], ...]
    """Whether the end of each series, or the mean of its seeds, shows a gain by reflection over the base policy."""
    baselines: tuple[Baseline, ...]
    """Baselines of the base policy without reflection: retries and majority votes."""
    against: tuple[Against, ...]
    formats: tuple[Format, ...]
    undertaken: tuple[Undertaken, ...]
    controls: tuple[SeriesControls, ...] = ()
    """Controls of the base policy, of each series' end, and of the seeds of a series together."""
    points: tuple[Point, ...] = ()
    """The base policy and the ends of the series over the varied setting; empty if none is named."""
    transfer: tuple[TransferResult, ...] = ()
    remarks: tuple[str, ...] = ()
    recipes_tried: int | None = None
