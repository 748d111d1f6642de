"""Tests of the loop's next step as a table: pace, gates, outstanding measurements, and operator decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.stages.job import Job
from engine.supervisor.next_step import Close, Decide, Rest, Start, Step, Wait, next_step
from engine.supervisor.skip_stage import skipped_with
from store.records import Iteration, Run, Stage
from store.settings import STAGES
from tests.support.rows import run_settings

PARENT, CHILD = 4, 5
ROLLOUTS = ("attempt", "reflect", "correct")


def stages(done: int, approved: Sequence[str] = (), state: str = "pending") -> list[Stage]:
    """Six stages of which the first `done` are done; the next is in the given state."""
    return [
        Stage(
            id=position,
            iteration_id=1,
            position=position,
            name=name,
            state="done" if position < done else state if position == done else "pending",  # type: ignore[arg-type]
            approved=name in approved,
            total=0,
            done=0,
            owed=0,
            note="",
            started=None,
            ended=None,
            error=None,
        )
        for position, name in enumerate(STAGES)
    ]


def step(
    done: int,
    *,
    approved: Sequence[str] = (),
    stage_state: str = "pending",
    evaluated: Sequence[int] = (),
    run_state: str = "ready",
    control: str = "run",
    state: str = "running",
    **settings: Any,
) -> Step:
    """The next step of an iteration whose first `done` stages are done."""
    run = Run(2, "run", "none", {}, "", "engine", run_state, None, 0.0)  # type: ignore[arg-type]
    child = CHILD if done > STAGES.index("train") else None
    iteration = Iteration(1, 2, 1, PARENT, child, {}, state, control, "", 0, 0.0, None)  # type: ignore[arg-type]
    return next_step(run, iteration, stages(done, approved, stage_state), run_settings(**settings), evaluated)


def rollouts(*names: str, evaluates: bool) -> Start:
    """A rollout job of the parent."""
    return Start(Job("generate", 2, 1, policy_id=PARENT, stages=names, evaluates=evaluates), names)


def evaluation(policy: int) -> Start:
    """A job that answers the held-out questions."""
    return Start(Job("generate", 2, 1, policy_id=policy, evaluates=True), ("evaluate",))


CURATE = Start(Job("curate", 2, 1), ("curate",))
TRAIN = Start(Job("train", 2, 1), ("train",))


@pytest.mark.parametrize(
    ("done", "more", "expected"),
    [
        # Flow: everything up to the next gate streams through one worker process, which also measures the parent.
        (0, {}, rollouts(*ROLLOUTS, evaluates=True)),
        (1, {}, rollouts("reflect", "correct", evaluates=True)),
        (2, {}, rollouts("correct", evaluates=True)),
        (0, {"evaluated": [PARENT]}, rollouts(*ROLLOUTS, evaluates=False)),
        (0, {"gates": ["evaluate"]}, rollouts(*ROLLOUTS, evaluates=False)),
        (0, {"gates": ["evaluate"], "approved": ["evaluate"]}, rollouts(*ROLLOUTS, evaluates=True)),
        (0, {"gates": ["attempt"]}, Wait("attempt")),
        (0, {"gates": ["attempt"], "approved": ["attempt"]}, rollouts(*ROLLOUTS, evaluates=True)),
        (0, {"gates": ["reflect"]}, rollouts("attempt", evaluates=False)),
        (0, {"gates": ["reflect"], "approved": ["reflect"]}, rollouts(*ROLLOUTS, evaluates=True)),
        (0, {"gates": ["correct"]}, rollouts("attempt", "reflect", evaluates=False)),
        (1, {"gates": ["reflect"]}, Wait("reflect")),
        (1, {"gates": ["reflect"], "approved": ["reflect"]}, rollouts("reflect", "correct", evaluates=True)),
        (2, {"gates": ["correct"]}, Wait("correct")),
        (3, {}, CURATE),
        (3, {"gates": ["curate"]}, Wait("curate")),
        (3, {"gates": ["curate"], "approved": ["curate"]}, CURATE),
        (4, {}, TRAIN),
        (4, {"gates": ["train"]}, Wait("train")),
        (4, {"gates": ["train"], "approved": ["train"]}, TRAIN),
        # The iteration waits without a gate for an operator who ranks the pairs, not for another judge.
        (4, {"training": {"setting": "dpo-judge"}}, Wait("train")),
        (4, {"training": {"setting": "dpo-judge"}, "approved": ["train"]}, TRAIN),
        (4, {"training": {"setting": "dpo-judge"}, "judge": {"by": "self"}}, TRAIN),
        (4, {"judge": {"by": "operator"}}, TRAIN),
        (5, {"evaluated": [PARENT]}, evaluation(CHILD)),
        (5, {}, evaluation(PARENT)),
        (5, {"gates": ["evaluate"], "evaluated": [PARENT]}, Wait("evaluate")),
        (5, {"gates": ["evaluate"], "approved": ["evaluate"], "evaluated": [PARENT]}, evaluation(CHILD)),
        (5, {"evaluated": [PARENT, CHILD]}, evaluation(CHILD)),
        (6, {}, Decide()),
        (6, {"gates": ["promote"]}, Wait("promote")),
        (6, {"evaluation": {"promote": "operator"}}, Wait("promote")),
        (6, {"evaluation": {"promote": "always"}}, Decide()),
        # Step: one stage at a time, each on an operator's approval, and nothing measured in parallel.
        (0, {"pace": "step"}, Wait("attempt")),
        (0, {"pace": "step", "approved": ["attempt"]}, rollouts("attempt", evaluates=False)),
        (1, {"pace": "step", "approved": ["attempt"]}, Wait("reflect")),
        (1, {"pace": "step", "approved": ["attempt", "reflect"]}, rollouts("reflect", evaluates=False)),
        (2, {"pace": "step", "approved": ["correct"]}, rollouts("correct", evaluates=False)),
        (3, {"pace": "step"}, Wait("curate")),
        (4, {"pace": "step"}, Wait("train")),
        (5, {"pace": "step"}, Wait("evaluate")),
        (5, {"pace": "step", "approved": ["evaluate"]}, evaluation(PARENT)),
        (6, {"pace": "step"}, Wait("promote")),
        # A stage that was running when the engine was killed, or that failed and was resumed, is restarted.
        (0, {"stage_state": "running"}, rollouts(*ROLLOUTS, evaluates=True)),
        (4, {"stage_state": "running"}, TRAIN),
        (4, {"stage_state": "failed"}, TRAIN),
        (4, {"stage_state": "waiting", "gates": ["train"]}, Wait("train")),
        # Nothing starts before the run is prepared, whatever the gates' states.
        (0, {"run_state": "new"}, Start(Job("prepare", 2, 1), ())),
        (0, {"run_state": "failed"}, Start(Job("prepare", 2, 1), ())),
        (0, {"run_state": "new", "pace": "step", "gates": ["attempt"]}, Start(Job("prepare", 2, 1), ())),
        (0, {"run_state": "new", "control": "pause"}, Rest()),
    ],
)
def test_the_next_step(done: int, more: dict[str, Any], expected: Step) -> None:
    """Every combination in the design leads to exactly this step."""
    assert step(done, **more) == expected


SITUATIONS = st.fixed_dictionaries(
    {
        "done": st.integers(0, 6),
        "approved": st.lists(st.sampled_from(STAGES), unique=True),
        "evaluated": st.lists(st.sampled_from([PARENT, CHILD]), unique=True),
        "pace": st.sampled_from(["flow", "step"]),
        "gates": st.lists(st.sampled_from([*STAGES, "promote"]), unique=True),
        "run_state": st.sampled_from(["new", "ready"]),
    }
)


@pytest.mark.parametrize("pace", ["flow", "step"])
def test_a_child_that_was_not_measured_waits_for_an_operator(pace: str) -> None:
    """The rule decides from a comparison; without one the decision would be arbitrary."""
    run = Run(2, "run", "none", {}, "", "engine", "ready", None, 0.0)
    one = Iteration(1, 2, 1, PARENT, CHILD, {}, "running", "run", "", 0, 0.0, None)
    six = [replace(stage, state="skipped" if stage.name == "evaluate" else "done") for stage in stages(0)]
    for rule in ("always", "not-worse", "operator"):
        settings = run_settings(pace=pace, evaluation={"promote": rule})
        assert next_step(run, one, six, settings, []) == Wait("promote")
        assert next_step(run, replace(one, state="done"), six, settings, []) == Rest()


@pytest.mark.parametrize("position", range(6))
def test_what_is_skipped_is_everything_that_needs_it_and_nothing_that_was_done(position: int) -> None:
    """Stages before the gate keep their results."""
    assert skipped_with(STAGES[position], stages(position)) == STAGES[position:]


@given(SITUATIONS, st.sampled_from(["pause", "stop"]), st.sampled_from(["done", "failed", "stopped"]))
def test_nothing_starts_against_the_word_of_an_operator_or_after_the_end(
    situation: dict[str, Any], control: str, state: str
) -> None:
    """No step follows while paused, stopping, stopped, failed or done, in any stage of the iteration."""
    assert step(**situation, control=control) == Rest()
    assert step(**situation, state=state) == Rest()


@given(SITUATIONS)
def test_no_stage_starts_behind_its_gate(situation: dict[str, Any]) -> None:
    """A worker never runs a stage that lacks its approval, and stages are never skipped or repeated."""
    found = step(**situation)
    if not isinstance(found, Start) or found.job.kind == "prepare":
        return
    closed = set(STAGES if situation["pace"] == "step" else situation["gates"]) - set(situation["approved"])
    assert not closed & set(found.stages)
    assert found.stages == STAGES[situation["done"] : situation["done"] + len(found.stages)]
    if situation["pace"] == "step":
        assert len(found.stages) == 1
    if found.job.evaluates:
        assert "evaluate" not in closed


@pytest.mark.parametrize(
    ("state", "parent", "evaluated", "expected"),
    [
        ("pending", None, [], Start(Job("prepare", 2, 1), ())),
        ("pending", PARENT, [], evaluation(PARENT)),
        ("running", PARENT, [], evaluation(PARENT)),
        ("pending", PARENT, [PARENT], evaluation(PARENT)),
        ("done", PARENT, [PARENT], Close()),
    ],
)
def test_an_evaluation_measures_its_policy_and_closes(
    state: str, parent: int | None, evaluated: Sequence[int], expected: Step
) -> None:
    """It trains nothing, so it promotes nothing; pace and gates are those of training iterations."""
    run = Run(2, "run", "none", {}, "", "engine", "ready", None, 0.0)
    one = Iteration(1, 2, 1, parent, None, {}, "running", "run", "", 0, 0.0, None, "evaluation")
    six = [replace(stage, state=state if stage.name == "evaluate" else "skipped", approved=True) for stage in stages(0)]
    for settings in (run_settings(), run_settings(pace="step", gates=["evaluate", "promote"])):
        assert next_step(run, one, six, settings, evaluated) == expected
    paused = replace(one, control="pause")
    assert next_step(run, paused, six, run_settings(), evaluated) == Rest()


def test_an_iteration_whose_run_another_one_made_ready_still_learns_its_parent() -> None:
    """Its own preparation failed; an evaluation then prepared the run. Preparing again finds the base policy."""
    run = Run(2, "run", "none", {}, "", "engine", "ready", None, 0.0)
    one = Iteration(1, 2, 1, None, None, {}, "running", "run", "", 0, 0.0, None)
    assert next_step(run, one, stages(0), run_settings(), []) == Start(Job("prepare", 2, 1), ())


def test_a_job_survives_the_command_line() -> None:
    """The worker reads the job exactly as the supervisor wrote it."""
    job = Job("generate", 2, 1, policy_id=4, stages=("attempt", "reflect"), evaluates=True)
    assert Job.load(job.dump()) == job
    assert [Job(kind, 1).slot for kind in ("prepare", "generate", "curate", "train")] == [
        "prepare",
        "rollout",
        "curate",
        "training",
    ]
