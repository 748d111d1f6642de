"""Results of an experiment as values: measurements, comparisons and answer formats."""

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
class ExperimentReport:
    """All reported values of an experiment."""

    settings: RunSettings
    series: tuple[Series, ...]
    best: Series | None
    missing: tuple[str, ...]
    references: tuple[ReferenceAnswers, ...]
    measured: tuple[Measured, ...]
    """The base policy, then each series' current policy after each iteration."""
    baselines: tuple[Baseline, ...]
    """Baselines of the base policy without reflection: retries and majority votes."""
    against: tuple[Against, ...]
    formats: tuple[Format, ...]
    undertaken: tuple[Undertaken, ...]
    remarks: tuple[str, ...] = ()
    recipes_tried: int | None = None
