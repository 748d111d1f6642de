"""Describes what the stage behind a gate would do, in counts and time, for the operator's decision."""

from __future__ import annotations

import sqlite3

from engine.errors import EngineError
from engine.evaluation.held_out_questions import held_out_questions
from engine.evaluation.promotion import Margins, describe_rule, describe_split, summarise
from engine.evaluation.stored_results import compare_child, evaluated_policies
from engine.rollout.load_plan import settings_of, training_plan
from engine.rollout.plan import STAGE_OF, count
from engine.supervisor.control_note import control_note
from engine.training.example_counts import count_rows
from store.curation.preferences import count_pairs_to_judge
from store.curation.training_settings import TRAINING_SETTINGS
from store.estimates.formulas import Owed
from store.estimates.from_workspace import estimate_ahead
from store.estimates.inputs import EstimateRefused
from store.estimates.training_steps import planned_steps
from store.estimates.wording import stage_words
from store.evaluation.number_format import counted
from store.records import GateName, Iteration, StageName
from store.rollouts.attempts import reviewed
from store.runs.iterations import stages
from store.runs.policies import get_policy
from store.runs.runs import run_questions
from store.settings import RunSettings
from store.workspace import Workspace


def describe_gate(
    connection: sqlite3.Connection, iteration: Iteration, gate: GateName, workspace: Workspace | None = None
) -> str:
    """Describe a stage's gate, or the `promote` gate, in one or two sentences.

    With a workspace, the figures stored in it are also used for the estimate. Settings that the stage can't run with
    are described, not raised: an operator may still change them.
    """
    try:
        return _described(connection, iteration, gate, workspace)
    except EngineError as error:
        return f"would fail: {error}"


def _described(
    connection: sqlite3.Connection, iteration: Iteration, gate: GateName, workspace: Workspace | None
) -> str:
    known = {stage.name: stage for stage in stages(connection, iteration.id)}
    if gate == "promote":
        if known["evaluate"].state == "skipped":
            return "the evaluation was skipped: there is no comparison of the child with its parent"
        comparison, evaluation = compare_child(connection, iteration), settings_of(iteration).evaluation
        rule = describe_rule(comparison, Margins.of(evaluation))
        controls = control_note(connection, iteration.child_id)
        return f"{rule}; {summarise(comparison)}; {describe_split(evaluation)}{controls}"
    ahead: StageName = gate

    def estimated(owed: Owed) -> str:
        return _estimated(connection, workspace, iteration, ahead, owed)

    settings = settings_of(iteration)
    if gate == "attempt":
        n = len(run_questions(connection, iteration.run_id, "train"))
        owed = n * (1 + settings.attempt.samples)
        times = f", {1 + settings.attempt.samples} times each" if settings.attempt.samples else ""
        return f"would answer {counted(n, 'training question')}{times}, {estimated(Owed({'attempt': owed}))}"
    if gate in ("reflect", "correct"):
        plan = training_plan(connection, iteration.id)
        counts = count(plan.plan, plan.done)
        everything = settings.reflection.on == "all"
        wrong = counts.done["attempt"] - counts.correct["attempt"]
        answers = counted(counts.done["attempt"], "answer") if everything else counted(wrong, "wrong answer")
        owed = sum(counts.total[kind] - counts.done[kind] for kind, stage in STAGE_OF.items() if stage == gate)
        what = counted(owed, "reflection" if gate == "reflect" else "correction")
        return f"would generate {what} on {answers}, {estimated(Owed({gate: owed}))}"
    if gate == "curate":
        by_hand = len(reviewed(connection, iteration.id))
        progressed = training_plan(connection, iteration.id)
        stored = count(progressed.plan, progressed.done).done
        # Further samples belong to no trajectory.
        made = known["correct"].done - stored["resample"] - stored["retry"]
        what = counted(made, "trajectory", "trajectories")
        return f"would filter {what}, {estimated(Owed({'curate': made}))}; {by_hand:,} reviewed by an operator"
    if gate == "train":
        training = settings.training
        rows = count_rows(connection, iteration, settings)
        steps = planned_steps(training, rows.kept)
        unusual = "".join(f"; {warning}" for warning in training.unusual_learning_rates())
        return (
            f"would train {training.setting} on {counted(rows.kept, 'example')} ({rows.left_out:,} left out), "
            f"about {counted(steps, 'step')} at a learning rate of {training.peak_learning_rate:g}, "
            f"{estimated(Owed(examples=rows.kept))}"
            f"{_open_pairs(connection, iteration, settings)}{_too_few(rows.kept, settings)}{unusual}"
        )
    n = len(held_out_questions(connection, iteration, settings))
    # Both parent and child are counted, although the child may not exist yet.
    evaluated = evaluated_policies(connection, iteration)
    parent = None if iteration.parent_id is None else get_policy(connection, iteration.parent_id)
    base_is_next = parent is not None and parent.parent_id is None and parent.id not in evaluated
    evaluations = Owed(policies=2 - len(evaluated), repeats=base_is_next)
    return f"would answer {counted(n, 'held-out question')} with parent and child, {estimated(evaluations)}"


def _open_pairs(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> str:
    """Describe how many pairs wait for the operator or the judge to rank them; empty where none do."""
    if not TRAINING_SETTINGS[settings.training.setting].judged:
        return ""
    waiting = count_pairs_to_judge(connection, iteration.id)
    where = "on the Review screen" if settings.judge.by == "operator" else "for the judge"
    return f"; {counted(waiting, 'pair waits', 'pairs wait')} {where}" if waiting else ""


def _too_few(kept: int, settings: RunSettings) -> str:
    """Describe that training would be refused for lack of examples; empty if there are enough."""
    minimum = settings.training.min_examples
    if kept >= minimum:
        return ""
    return f"; too few to train on: fewer than min_examples = {minimum}, so nothing would be trained"


def _estimated(
    connection: sqlite3.Connection, workspace: Workspace | None, iteration: Iteration, stage: StageName, owed: Owed
) -> str:
    """Return the same estimate of the stage as the command line and the screens show."""
    try:
        return stage_words(estimate_ahead(connection, workspace, iteration, owed), stage)
    except EstimateRefused as refusal:
        return f"no estimate: {refusal}"
