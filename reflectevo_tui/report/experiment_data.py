"""What an experiment came to, as values: measurements, comparisons and formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reflectevo_tui.experiment.paired_estimates import Estimate, FormatSplit, Paired
from reflectevo_tui.experiment.plan import Series
from store.evaluation.held_out_answers import ReferenceAnswers
from store.records import Iteration, Policy
from store.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Measured:
    """A policy on the test questions under one feedback. `number` counts iterations of its series, 0 is the base."""

    label: str
    series: Series | None
    number: int
    policy: Policy
    kept: bool
    """Whether the iteration's own policy was refused, or there was none, so that this is the one before."""
    feedback: str
    acc_t1: Estimate
    acc_t2: Estimate
    delta: Estimate
    i_to_c: Estimate
    c_to_i: Estimate
    by_task: Mapping[str, tuple[Estimate, Estimate]]
    """Acc@t1 and Acc@t2 of each task."""


@dataclass(frozen=True, slots=True)
class Against:
    """What a series ends with, compared with something else on the same questions."""

    label: str
    other: str
    paired: Paired


@dataclass(frozen=True, slots=True)
class Format:
    """How many answers of a policy can be read, and what its difference to the base policy is made of."""

    label: str
    turn: int
    judged: int
    read: int
    right: int
    split: FormatSplit | None
    """None for the base policy."""


@dataclass(frozen=True, slots=True)
class Undertaken:
    """An iteration of the experiment, whatever came of it."""

    series: Series
    number: int
    iteration: Iteration
    parent: str
    child: Policy | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """All that is said of an experiment."""

    settings: RunSettings
    series: tuple[Series, ...]
    best: Series | None
    missing: tuple[str, ...]
    references: tuple[ReferenceAnswers, ...]
    measured: tuple[Measured, ...]
    """The base policy, then what each series holds after each iteration."""
    baselines: tuple[tuple[str, Estimate], ...]
    """The base policy without reflection: its retries and votes."""
    against: tuple[Against, ...]
    formats: tuple[Format, ...]
    undertaken: tuple[Undertaken, ...]
    remarks: tuple[str, ...] = ()
    recipes_tried: int | None = None
