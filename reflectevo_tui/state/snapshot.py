"""Snapshot of a workspace, read in one short transaction. Depends on the store, not on widgets."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from reflectevo_tui.state.promotion_facts import PromotionFacts, read_promotion
from store.control import directives, telemetry
from store.control.liveness import EngineState, engine_state
from store.curation import curated
from store.curation.reflection_measures import ReflectionMeasures, reflection_measures
from store.curation.training_settings import SetName
from store.database.connection import read
from store.evaluation.floors import FLOOR
from store.evaluation.gains import stored_gain
from store.evaluation.held_out_answers import is_oracle
from store.evaluation.protocols import deciding_split, main_protocol, overall_evaluations
from store.evaluation.transfer import TRANSFER
from store.records import (
    Directive,
    Evaluation,
    Event,
    GateName,
    Heartbeat,
    Iteration,
    IterationName,
    LiveText,
    MetricPoint,
    Policy,
    Run,
    Slot,
    Stage,
    TrajectoryRow,
)
from store.rollouts import trajectories
from store.rollouts.control_results import ControlResults, newest_control_results
from store.runs import iterations, policies, runs
from store.workspace import Workspace

NEWEST_ROWS = 12
EVENT_ROWS = 200
CURVE_POINTS = 400
TRAINING_CURVES = ("loss", "mean_token_accuracy", "rewards/margins", "rewards/accuracies", "learning_rate")

Curve = tuple[tuple[int, float], ...]
"""Points of a curve: step and value."""


@dataclass(frozen=True, slots=True)
class AccuracyPoint:
    """Acc@t1 and Acc@t2 of a policy on held-out questions (shares), with 95% intervals."""

    policy: str
    iteration: int
    first: Mapping[str, float | None]
    second: Mapping[str, float | None]
    floor: Mapping[str, float | None] | None = None
    """The floor of Acc@t2; None if it isn't stored, or without an oracle."""
    retry: Mapping[str, float | None] | None = None
    """Accuracy with one retry without a reflection; None if it wasn't measured."""
    oracle: bool = True
    transfer: tuple[float | None, float | None] | None = None
    """Acc@t1 and Acc@t2 on the transfer tasks, under the policy's newest measurement; None without one."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State shown by the screens. `rates` are items per second of the running stages."""

    taken: float
    engine: EngineState
    run: Run | None = None
    iteration: Iteration | None = None
    iterations: tuple[IterationName, ...] = ()
    stages: tuple[Stage, ...] = ()
    gate: GateName | None = None
    parent: Policy | None = None
    child: Policy | None = None
    heartbeats: Mapping[Slot, Heartbeat] = field(default_factory=dict)
    throughput: tuple[float, ...] = ()
    training: Mapping[str, Curve] = field(default_factory=dict)
    accuracy: tuple[AccuracyPoint, ...] = ()
    live: tuple[LiveText, ...] = ()
    newest: tuple[TrajectoryRow, ...] = ()
    events: tuple[Event, ...] = ()
    watched: tuple[Directive, ...] = ()
    unanswered: tuple[Directive, ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    controls: ControlResults | None = None
    """Controls of the child policy, or of the parent while the child has none."""
    reflections: Mapping[int, ReflectionMeasures] = field(default_factory=dict)
    """Measures of the reflections by number of the training iteration."""
    reported: tuple[AccuracyPoint, ...] = ()
    """Accuracies on the test questions, if promotion is decided on others."""


def read_snapshot(connection: sqlite3.Connection, workspace: Workspace, watched: Iterable[str] = ()) -> Snapshot:
    """Read the state shown by the screens.

    Args:
        connection: a reading connection.
        workspace: the workspace, for the engine's lock.
        watched: uuids of directives whose outcome this terminal waits for.
    """
    with read(connection):
        return _read(connection, workspace, watched)


def _read(connection: sqlite3.Connection, workspace: Workspace, watched: Iterable[str]) -> Snapshot:
    iteration = iterations.current_iteration(connection)
    # Imported runs are only browsed; the engine never works on them.
    every_run = [run for run in runs.list_runs(connection) if run.origin != "import"]
    newest_run = every_run[-1] if every_run else None
    # A run in preparation has no iteration yet, but it is the one that the operator waits for.
    if newest_run and iteration and newest_run.state != "ready" and newest_run.id > iteration.run_id:
        iteration = None
    run = runs.get_run(connection, iteration.run_id) if iteration else newest_run
    found = [directives.find(connection, uuid) for uuid in watched]
    common = Snapshot(
        taken=time.time(),
        engine=engine_state(connection, workspace.lock_file),
        run=run,
        iterations=tuple(iterations.iteration_names(connection)),
        heartbeats=telemetry.heartbeats(connection),
        accuracy=accuracy_points(connection, run) if run else (),
        reflections=reflection_measures(connection, run.id) if run else {},
        reported=reported_points(connection, run) if run else (),
        live=tuple(telemetry.live_texts(connection)),
        newest=tuple(trajectories.newest(connection, NEWEST_ROWS)),
        events=tuple(telemetry.events(connection, limit=EVENT_ROWS)),
        watched=tuple(directive for directive in found if directive),
        unanswered=tuple(directives.pending(connection)),
    )
    return _with_iteration(connection, common, iteration) if iteration else common


def _with_iteration(connection: sqlite3.Connection, common: Snapshot, iteration: Iteration) -> Snapshot:
    all_stages = iterations.stages(connection, iteration.id)
    history = telemetry.metrics(connection, iteration.id, "attempt", ("tokens_per_s",), limit=60)
    training = telemetry.metrics(
        connection, iteration.id, "train", TRAINING_CURVES, limit=CURVE_POINTS * len(TRAINING_CURVES)
    )
    return replace(
        common,
        iteration=iteration,
        stages=tuple(all_stages),
        gate=iterations.waiting_gate(iteration, all_stages),
        parent=policies.get_policy(connection, iteration.parent_id) if iteration.parent_id else None,
        child=policies.get_policy(connection, iteration.child_id) if iteration.child_id else None,
        throughput=tuple(point.value for point in history if point.value is not None),
        training=_curves(training),
        controls=_controls(connection, iteration),
    )


def _controls(connection: sqlite3.Connection, iteration: Iteration) -> ControlResults | None:
    for policy_id in (iteration.child_id, iteration.parent_id):
        found = None if policy_id is None else newest_control_results(connection, policy_id)
        if found is not None:
            return found
    return None


def _curves(points: list[MetricPoint]) -> dict[str, Curve]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for point in points:
        if point.value is not None:
            curves.setdefault(point.name, []).append((point.step, point.value))
    return {name: tuple(curve) for name, curve in curves.items()}


def accuracy_points(connection: sqlite3.Connection, run: Run) -> tuple[AccuracyPoint, ...]:
    """Return Acc@t1 and Acc@t2 over all tasks of each policy of a run, in the order of the iterations."""
    wanted, every = main_protocol(run), policies.evaluations(connection, run.id)
    found = overall_evaluations(every, wanted, deciding_split(run)) or overall_evaluations(every, wanted)
    return _points(connection, run, found)


def reported_points(connection: sqlite3.Connection, run: Run) -> tuple[AccuracyPoint, ...]:
    """Return the same on the test questions; empty if promotion is decided on them."""
    if deciding_split(run) == "test":
        return ()
    every = policies.evaluations(connection, run.id)
    return _points(connection, run, overall_evaluations(every, main_protocol(run), "test"))


def _points(connection: sqlite3.Connection, run: Run, found: Iterable[Evaluation]) -> tuple[AccuracyPoint, ...]:
    numbers = {iteration.id: iteration.number for iteration in iterations.list_iterations(connection, run.id)}
    by_id = {policy.id: policy for policy in policies.list_policies(connection, run.id)}
    points: list[AccuracyPoint] = []
    every = policies.evaluations(connection, run.id)
    transfer = {
        one.policy_id: (one.metrics["acc_t1"]["value"], one.metrics["acc_t2"]["value"])
        for one in every
        if one.task == TRANSFER and one.protocol.partition("/")[0] == main_protocol(run)
    }
    for one in found:
        policy = by_id[one.policy_id]
        number = numbers.get(policy.iteration_id, 0) if policy.iteration_id else 0
        first, second, floor, retry = (one.metrics.get(name) for name in ("acc_t1", "acc_t2", FLOOR, "acc_retry"))
        assert first is not None and second is not None
        elsewhere = transfer.get(policy.id)
        points.append(
            AccuracyPoint(policy.name, number, first, second, floor, retry, is_oracle(one.protocol), elsewhere)
        )
    return tuple(sorted(points, key=lambda point: point.iteration))


@dataclass(frozen=True, slots=True)
class GateFacts:
    """Facts shown to an operator before the decision at a gate."""

    curation: Mapping[SetName, Mapping[str, int]]
    parent: AccuracyPoint | None
    child: AccuracyPoint | None
    ahead: tuple[tuple[str, str], ...] = ()
    """The stages ahead, each with its estimate, as in `reflectevo estimate`."""
    promotion: PromotionFacts | None = None
    """At the promote gate: the comparison of child and parent."""
    gain: str = ""
    """Whether the child's Acc@t2 shows a gain by reflection, in one sentence; empty before the child is measured."""


def read_gate(connection: sqlite3.Connection, snapshot: Snapshot, workspace: Workspace) -> GateFacts:
    """Read the facts for the gate at which an iteration waits.

    Raises:
        EstimateRefused: when the operator's file of figures is invalid.
    """
    iteration, run = snapshot.iteration, snapshot.run
    if iteration is None or run is None:
        return GateFacts({}, None, None)
    points = {point.policy: point for point in accuracy_points(connection, run)}
    return GateFacts(
        curated.curation_counts(connection, iteration.id),
        points.get(snapshot.parent.name) if snapshot.parent else None,
        points.get(snapshot.child.name) if snapshot.child else None,
        _ahead(connection, snapshot, iteration, workspace),
        read_promotion(connection, run, iteration) if snapshot.gate == "promote" else None,
        _gain(connection, run, snapshot.parent, snapshot.child),
    )


def _gain(connection: sqlite3.Connection, run: Run, parent: Policy | None, child: Policy | None) -> str:
    every = policies.evaluations(connection, run.id)
    measured = {one.policy_id: one for one in overall_evaluations(every, main_protocol(run), deciding_split(run))}
    if parent is None or child is None or parent.id not in measured or child.id not in measured:
        return ""
    return stored_gain(connection, (parent.name, measured[parent.id]), (child.name, measured[child.id])).sentence


def _ahead(
    connection: sqlite3.Connection, snapshot: Snapshot, iteration: Iteration, workspace: Workspace
) -> tuple[tuple[str, str], ...]:
    open_stages = [stage.name for stage in snapshot.stages if stage.state in ("pending", "waiting")]
    if not open_stages:
        return ()
    # Imported here: only a gate needs the settings, and pydantic must not be loaded before the first frame.
    from store.estimates.from_workspace import estimate_ahead
    from store.estimates.wording import stage_words

    found = estimate_ahead(connection, workspace, iteration)
    return tuple((name, stage_words(found, name)) for name in open_stages)
