"""Reads all contents of a report from the store as plain values, independent of their presentation."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reflectevo_tui.report.experiment import gather_experiment
from reflectevo_tui.report.experiment_data import ExperimentReport
from reflectevo_tui.report.experiment_json import experiment_as_json
from reflectevo_tui.report.review_json import reviewed_errors_as_json
from store.control.telemetry import metrics
from store.curation.curated import curation_counts
from store.curation.reflection_measures import ReflectionMeasures, reflection_measures
from store.curation.review_analysis import ReviewedErrors, review_analysis
from store.curation.training_settings import SetName
from store.evaluation.comparisons import Difference, compare_policies
from store.evaluation.gains import Gain, stored_gain
from store.evaluation.repeat_noise import RepeatNoise, repeat_noise
from store.evaluation.transfer import TRANSFER, place, transfer_tasks
from store.records import Iteration, MetricPoint, Policy, Run
from store.rollouts.attempts import instruction_yields
from store.rollouts.control_results import ControlResults, control_results
from store.runs import iterations as iteration_rows
from store.runs.policies import evaluations, list_policies
from store.runs.summaries import (
    ExampleTrajectory,
    ReviewSummary,
    StageCost,
    example_trajectories,
    preference_counts,
    question_counts,
    review_summary,
    stage_costs,
)

if TYPE_CHECKING:
    from store.settings import RunSettings

EXAMPLES = 3
"""Maximum number of complete trajectories shown of each kind."""

Metrics = Mapping[str, Mapping[str, float | None]]

_EVERY_ITERATION = 2**31
_MOST_POINTS = 1_000_000


@dataclass(frozen=True, slots=True)
class MeasuredTask:
    """Metrics of a policy on one task under a protocol; the empty task name stands for all tasks combined."""

    policy: str
    protocol: str
    task: str
    n: int
    metrics: Metrics
    split: str = "test"
    """Split of the questions."""
    transfer: bool = False
    """Whether the task is a transfer task, or all of them combined."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A child policy compared with its parent on the same questions."""

    child: str
    parent: str
    protocol: str
    task: str
    turn: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """One training metric over the training steps."""

    iteration: int
    name: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Curated:
    """Curation outcome of an iteration: rows of each set by reason (`included` for those kept)."""

    iteration: int
    sets: Mapping[SetName, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class RunReport:
    """All reported values of one run."""

    run: Run
    questions: Mapping[str, Mapping[str, int]]
    iterations: tuple[Iteration, ...]
    policies: tuple[Policy, ...]
    measured: tuple[MeasuredTask, ...]
    compared: tuple[Compared, ...]
    gains: Mapping[tuple[str, str], Gain]
    """(child, protocol) → whether its Acc@t2 over all tasks shows a gain by reflection."""
    curves: tuple[TrainingCurve, ...]
    yields: Mapping[tuple[str, str], tuple[int, int]]
    """(task, instruction) → number of correct second attempts, and number of all."""
    curated: tuple[Curated, ...]
    worked: tuple[ExampleTrajectory, ...]
    failed: tuple[ExampleTrajectory, ...]
    reviews: ReviewSummary | None
    preferences: Mapping[str, int]
    costs: tuple[StageCost, ...]
    reviewed_errors: tuple[ReviewedErrors, ...] = ()
    """Error kinds and localisation by iteration, policy and task."""
    controls: tuple[ControlResults, ...] = ()
    """Controls of the policies, oldest first."""
    noise: Mapping[str, RepeatNoise] = field(default_factory=dict)
    """By protocol, the difference between two measurements of the base policy."""
    reflections: Mapping[int, ReflectionMeasures] = field(default_factory=dict)
    """Measures of the reflections by number of the training iteration."""
    experiment: ExperimentReport | None = None
    """Results of the series when the run is an experiment."""

    def name_of(self, policy_id: int | None) -> str:
        """Return the name of a policy of the run; empty for None."""
        return next((policy.name for policy in self.policies if policy.id == policy_id), "")


def gather(connection: sqlite3.Connection, run: Run, told: RunSettings | None = None) -> RunReport:
    """Read everything stored about a run; call it inside one read transaction for a consistent snapshot.

    `told` is the current settings file, for additions to an experiment made after the run.
    """
    policies = list_policies(connection, run.id)
    every = iteration_rows.list_iterations(connection, run.id)
    training = [one for one in every if one.kind == "training"]
    names = {policy.id: policy.name for policy in policies}
    transfer = transfer_tasks(run.settings)
    measured = [
        MeasuredTask(
            names[one.policy_id],
            one.protocol,
            one.task,
            one.n,
            one.metrics,
            one.split,
            one.task == TRANSFER or one.task in transfer,
        )
        for one in evaluations(connection, run.id)
        if one.n
    ]
    order = {policy.name: position for position, policy in enumerate(policies)}
    measured.sort(key=lambda one: (protocol_key(one.protocol), place(one.task, transfer), order[one.policy]))
    return RunReport(
        run=run,
        questions=question_counts(connection, run.id),
        iterations=tuple(every),
        policies=tuple(policies),
        measured=tuple(measured),
        compared=tuple(_compared(connection, run, policies, measured)),
        gains=_gains(connection, run, policies),
        curves=tuple(curve for iteration in training for curve in _curves(connection, iteration)),
        yields=instruction_yields(connection, run.id, _EVERY_ITERATION),
        curated=tuple(Curated(one.number, curation_counts(connection, one.id)) for one in training),
        worked=tuple(example_trajectories(connection, run.id, "i→c", EXAMPLES)),
        failed=tuple(example_trajectories(connection, run.id, "i→i", EXAMPLES)),
        reviews=review_summary(connection, run.id),
        reviewed_errors=review_analysis(connection, run.id),
        preferences=preference_counts(connection, run.id),
        costs=tuple(stage_costs(connection, run.id)),
        controls=tuple(control_results(connection, run.id)),
        noise={
            protocol: noise
            for protocol in sorted({one.protocol for one in measured})
            if (noise := repeat_noise(connection, run.id, protocol)) is not None
        },
        reflections=reflection_measures(connection, run.id),
        experiment=gather_experiment(connection, run, told),
    )


def _compared(
    connection: sqlite3.Connection, run: Run, policies: list[Policy], measured: list[MeasuredTask]
) -> list[Compared]:
    """Compare every child policy with its parent, under each protocol by which both were measured."""
    protocols = {
        policy.id: sorted({one.protocol for one in measured if one.policy == policy.name}, key=protocol_key)
        for policy in policies
    }
    names = {policy.id: policy.name for policy in policies}
    found = []
    for child in policies:
        if child.parent_id is None or child.parent_id not in names:
            continue
        for protocol in protocols[child.id]:
            if protocol not in protocols[child.parent_id]:
                continue
            differences = compare_policies(connection, child.parent_id, child.id, protocol)
            for (task, turn), difference in differences.items():
                found.append(Compared(child.name, names[child.parent_id], protocol, task, turn, difference))
    return found


def _gains(connection: sqlite3.Connection, run: Run, policies: list[Policy]) -> dict[tuple[str, str], Gain]:
    """Judge every child policy under each protocol by which it and its parent were measured."""
    overall = {
        (one.policy_id, one.protocol): one for one in evaluations(connection, run.id) if one.task == "" and one.n
    }
    names = {policy.id: policy.name for policy in policies}
    found = {}
    for child in policies:
        for (policy_id, protocol), after in overall.items():
            before = overall.get((child.parent_id or 0, protocol))
            if policy_id == child.id and before is not None:
                parent = (names[before.policy_id], before)
                found[child.name, protocol] = stored_gain(connection, parent, (child.name, after))
    return found


def _curves(connection: sqlite3.Connection, iteration: Iteration) -> list[TrainingCurve]:
    by_name: dict[str, list[MetricPoint]] = {}
    for point in metrics(connection, iteration.id, "train", limit=_MOST_POINTS):
        by_name.setdefault(point.name, []).append(point)
    return [
        TrainingCurve(
            iteration.number, name, tuple((point.step, point.value) for point in points if point.value is not None)
        )
        for name, points in sorted(by_name.items())
    ]


def protocol_key(protocol: str) -> tuple[str, ...]:
    """Return the sort key of a protocol: `oracle` before `oracle-free`."""
    return protocol.partition("/")


def moment(seconds: float | None) -> str | None:
    """Format a time of the run in UTC, e.g. `2026-11-24 21:30 UTC`; never the time of the report."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def as_json(report: RunReport) -> dict[str, Any]:
    """Return the numbers of a report as plain JSON values; a missing measurement is null."""
    return {
        "run": {
            "name": report.run.name,
            "base_model": report.run.base_model,
            "origin": report.run.origin,
            "state": report.run.state,
            "created": report.run.created,
            "settings": report.run.settings,
            "questions": report.questions,
        },
        "iterations": [
            {
                "kind": one.kind,
                "number": one.number,
                "state": one.state,
                "parent": report.name_of(one.parent_id) or None,
                "child": report.name_of(one.child_id) or None,
                "created": one.created,
                "ended": one.ended,
                "reason": one.reason,
            }
            for one in report.iterations
        ],
        "policies": [
            {
                "name": one.name,
                "parent": report.name_of(one.parent_id) or None,
                "setting": one.setting,
                "roles": one.roles.split(),
                "state": one.state,
                "reason": one.reason,
                "details": one.details,
                "created": one.created,
            }
            for one in report.policies
        ],
        "evaluations": [asdict(one) for one in report.measured],
        "comparisons": [
            {
                **{name: getattr(one, name) for name in ("child", "parent", "protocol", "task", "turn")},
                **asdict(one.difference),
            }
            for one in report.compared
        ],
        "gains": [
            {"child": child, "protocol": protocol, **asdict(gain)} for (child, protocol), gain in report.gains.items()
        ],
        "controls": [{"policy": one.policy, **one.as_json()} for one in report.controls],
        "training": [asdict(one) for one in report.curves],
        "yields": [
            {"task": task, "instruction": instruction, "corrected": good, "tried": tried}
            for (task, instruction), (good, tried) in sorted(report.yields.items())
        ],
        "curation": [asdict(one) for one in report.curated],
        "reflections": [{"iteration": number, **asdict(one)} for number, one in report.reflections.items()],
        "reviews": None if report.reviews is None else asdict(report.reviews),
        "reviewed_errors": reviewed_errors_as_json(report.reviewed_errors),
        "preferences": dict(report.preferences),
        "costs": [asdict(one) for one in report.costs],
        "experiment": None if report.experiment is None else experiment_as_json(report.experiment),
        "examples": {
            "worked": [asdict(one) for one in report.worked],
            "failed": [asdict(one) for one in report.failed],
        },
    }
