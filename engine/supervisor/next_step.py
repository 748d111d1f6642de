"""Decides the next step of an iteration: a pure function of its current state.

All actions of the supervisor follow from this; after a restart the same state gives the same step. Knows no process
and no database.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from engine.stages.job import Job
from store.curation.training_settings import TRAINING_SETTINGS
from store.records import GateName, Iteration, Run, Stage, StageName
from store.settings import ROLLOUT_STAGES, RunSettings


@dataclass(frozen=True, slots=True)
class Start:
    """Start a worker process for these stages."""

    job: Job
    stages: tuple[StageName, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for an operator at a gate: a stage's name, or `promote`."""

    gate: GateName


@dataclass(frozen=True, slots=True)
class Decide:
    """All stages are done: promote or reject the child by the run's promotion rule."""


@dataclass(frozen=True, slots=True)
class Close:
    """The policy of an evaluation has been measured: end the iteration, as there is nothing to promote."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do."""


Step = Start | Wait | Decide | Close | Rest


def gated(stage: Stage, settings: RunSettings) -> bool:
    """Check whether a stage must wait for an operator's approval.

    Training on pairs that an operator ranks always waits, with or without a configured gate.
    """
    waits_for_judge = (
        stage.name == "train"
        and TRAINING_SETTINGS[settings.training.setting].judged
        and settings.judge.by == "operator"
    )
    return not stage.approved and (settings.pace == "step" or stage.name in settings.gates or waits_for_judge)


def next_step(
    run: Run,
    iteration: Iteration,
    stages: Sequence[Stage],
    settings: RunSettings,
    evaluated: Collection[int],
    *,
    lacks_questions: bool = False,
) -> Step:
    """Return the next step of an iteration.

    Args:
        run: its run.
        iteration: the iteration.
        stages: its six stages in order.
        settings: its resolved settings.
        evaluated: ids of the policies whose evaluation under these settings is complete.
        lacks_questions: whether it measures on new dev questions that have not been drawn yet.
    """
    if iteration.control != "run" or iteration.state in ("done", "failed", "stopped"):
        return Rest()
    # Another iteration may have prepared the run already; preparing again then only sets the parent of this one.
    if run.state != "ready" or iteration.parent_id is None or lacks_questions:
        return Start(Job("prepare", run.id, iteration.id), ())
    open_stages = [stage for stage in stages if stage.state not in ("done", "skipped")]
    if not open_stages and iteration.kind == "evaluation":
        return Close()
    if not open_stages:
        # Without a comparison only an operator can decide on the child.
        unmeasured = any(stage.name == "evaluate" and stage.state == "skipped" for stage in stages)
        asks = (
            unmeasured
            or "promote" in settings.gates
            or settings.pace == "step"
            or settings.evaluation.promote == "operator"
        )
        return Wait("promote") if asks else Decide()
    first = open_stages[0]
    if gated(first, settings):
        return Wait(first.name)
    if first.name in ROLLOUT_STAGES:
        return _rollouts(run, iteration, open_stages, stages, settings, evaluated)
    if first.name == "curate":
        return Start(Job("curate", run.id, iteration.id), ("curate",))
    if first.name == "train":
        return Start(Job("train", run.id, iteration.id), ("train",))
    for policy_id in (iteration.parent_id, iteration.child_id):
        if policy_id is not None and policy_id not in evaluated:
            return Start(Job("generate", run.id, iteration.id, policy_id=policy_id, evaluates=True), ("evaluate",))
    # All are measured already, e.g. if the engine was killed between the last answer and the end of the stage.
    policy_id = iteration.child_id or iteration.parent_id
    return Start(Job("generate", run.id, iteration.id, policy_id=policy_id, evaluates=True), ("evaluate",))


def _rollouts(
    run: Run,
    iteration: Iteration,
    open_stages: Sequence[Stage],
    stages: Sequence[Stage],
    settings: RunSettings,
    evaluated: Collection[int],
) -> Step:
    """Start a rollout worker; in flow pace, one worker streams through all rollout stages up to the next gate."""
    names = [open_stages[0].name]
    if settings.pace == "flow":
        for stage in open_stages[1:]:
            if stage.name not in ROLLOUT_STAGES or gated(stage, settings):
                break
            names.append(stage.name)
    # Evaluating the parent in the same worker avoids loading its weights a second time.
    evaluate = next(stage for stage in stages if stage.name == "evaluate")
    evaluates = (
        settings.pace == "flow"
        and names[-1] == ROLLOUT_STAGES[-1]
        and not gated(evaluate, settings)
        and iteration.parent_id not in evaluated
    )
    job = Job(
        "generate",
        run.id,
        iteration.id,
        policy_id=iteration.parent_id,
        stages=tuple(names),
        evaluates=evaluates,
    )
    return Start(job, tuple(names))
