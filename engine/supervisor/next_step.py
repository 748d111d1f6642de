"""Where an iteration goes next: a pure function from where it stands to the one thing to do.

Everything the supervisor does follows from this; a restart asks the same question and gets the same answer.
Knows no process and no database.
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
    """Start a child for these stages."""

    job: Job
    stages: tuple[StageName, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait at a gate for an operator: a stage's name, or `promote`."""

    gate: GateName


@dataclass(frozen=True, slots=True)
class Decide:
    """All stages are done: promote or reject the child by the run's rule."""


@dataclass(frozen=True, slots=True)
class Close:
    """The policy of an evaluation is measured: there is nothing to promote."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do."""


Step = Start | Wait | Decide | Close | Rest


def gated(stage: Stage, settings: RunSettings) -> bool:
    """True when a stage needs an operator's word that it hasn't got.

    Training on pairs that an operator ranks waits for them, gate or not.
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
) -> Step:
    """The next thing to do for an iteration.

    Args:
        run: its run.
        iteration: the iteration.
        stages: its six stages in order.
        settings: its resolved settings.
        evaluated: policies whose evaluation under these settings is complete.
    """
    if iteration.control != "run" or iteration.state in ("done", "failed", "stopped"):
        return Rest()
    # A run that another iteration made ready has a base policy by now; preparing again only names it as parent.
    if run.state != "ready" or iteration.parent_id is None:
        return Start(Job("prepare", run.id, iteration.id), ())
    open_stages = [stage for stage in stages if stage.state not in ("done", "skipped")]
    if not open_stages and iteration.kind == "evaluation":
        return Close()
    if not open_stages:
        # Nobody but an operator can settle a child that was not compared.
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
    # All were measured before, e.g. when the engine was killed between the last answer and the stage's end.
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
    """In flow pace, all rollout stages up to the next gate stream through one child."""
    names = [open_stages[0].name]
    if settings.pace == "flow":
        for stage in open_stages[1:]:
            if stage.name not in ROLLOUT_STAGES or gated(stage, settings):
                break
            names.append(stage.name)
    # While the parent's weights are loaded its held-out answers cost no second load.
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
