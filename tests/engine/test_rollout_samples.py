"""Tests of further samples of a training rollout: first attempts, corrections with and tries without a reflection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.commands.render_prompt import rerender
from engine.rollout.load_plan import training_plan
from engine.rollout.plan import count
from engine.stages.curate import candidates_of
from store.curation.datasets import dataset_facts
from store.database.connection import write
from store.exchange.export_pages import corrections_of
from store.rollouts.attempts import instruction_yields, rollout_attempts, rollout_reflections
from store.rollouts.lift import ReflectionLift, reflection_lift, reflection_lifts
from store.runs.iterations import add_iteration, get_iteration
from store.settings import RunSettings
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings
from tests.support.rollout_plans import add_questions, make_plan, run_plan, stage_of, stored
from tests.support.rows import Rows, run_settings

Make = Callable[[str], EngineHarness]

SAMPLED = {
    "attempt": {"samples": 2, "sample_temperature": 0.9},
    "reflection": {"instructions": "random:1", "samples": 2},
    "correction": {"samples": 3, "temperature": 0.7},
}


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """A run that samples everything, with questions of every verdict."""
    made = Rows(tmp_path / "reflectevo.db", run_settings(**SAMPLED))
    add_questions(made)
    yield made
    made.connection.close()


def test_a_plan_draws_as_many_corrections_with_a_reflection_as_tries_without(rows: Rows) -> None:
    """A lift compares equal numbers of draws under one decoding; first attempts are sampled beside the greedy one."""
    plan = training_plan(rows.connection, rows.iteration).plan
    generator = run_plan(rows, plan)
    assert Counter(map(stage_of, generator.requests)) == {
        "attempt": 6 * (1 + 2),
        "reflect": 3 * 2,
        "correct": 3 * 2 * 3,
        "retry": 3 * 3,
    }
    assert {request.temperature for request in generator.of("correct") + generator.of("retry")} == {0.7}
    assert Counter(request.temperature for request in generator.of("attempt")) == {0.0: 6, 0.9: 12}
    seeds = [request.seed for request in generator.requests]
    assert len(set(seeds)) == len(seeds), "two samples with one seed would be one text"
    attempts = rollout_attempts(rows.connection, rows.iteration)
    by_kind = Counter((row.turn, row.reflection_id is not None, row.sample) for row in attempts)
    assert by_kind == {
        **{(1, False, sample): 6 for sample in range(3)},
        **{(2, True, sample): 6 for sample in range(3)},
        **{(2, False, sample): 3 for sample in range(3)},
    }
    counts = count(plan, stored(rows))
    assert counts.complete and (counts.done["resample"], counts.done["retry"], counts.done["vote"]) == (12, 9, 12)
    listed = rows.connection.execute("SELECT count(*) FROM trajectories").fetchone()[0]
    assert listed == 3 * 2 + 3, "further samples are no trajectories"


def test_one_sample_generates_what_it_always_did(rows: Rows) -> None:
    """The default has no tries without a reflection, and sample 0 has the same seed whatever the number of samples."""
    many = run_plan(rows, make_plan(rows, correction_samples=3, retries=3))
    seeds = {request.seed for request in many.requests}
    with write(rows.connection):
        rows.iteration = add_iteration(
            rows.connection, rows.run, rows.policy, run_settings().model_dump(mode="json"), 0
        )
    assert training_plan(rows.connection, rows.iteration).plan.baselines.retries == 0
    one = run_plan(rows, make_plan(rows))
    assert {request.seed for request in one.requests} < seeds
    assert not one.of("retry")


def test_the_first_correction_is_the_one_to_train_on_and_to_export(rows: Rows) -> None:
    """A further sample that came right must not stand in for a wrong first one."""
    run_plan(rows, training_plan(rows.connection, rows.iteration).plan)
    first = {
        row.reflection_id: row.id
        for row in rollout_attempts(rows.connection, rows.iteration)
        if row.reflection_id is not None and row.sample == 0
    }
    iteration = get_iteration(rows.connection, rows.iteration)
    candidates = candidates_of(rows.connection, iteration, RunSettings.model_validate(iteration.settings))
    assert {one.reflection_id: one.correction_id for one in candidates} == first
    reflections = [row.id for row in rollout_reflections(rows.connection, rows.iteration)]
    assert {key: row.id for key, row in corrections_of(rows.connection, reflections).items()} == first
    counts = dataset_facts(rows.connection, rows.iteration).rollouts
    assert (counts.attempts, counts.incorrect, counts.reflections, counts.judged) == (6, 3, 6, 6)


def test_lifts_are_read_from_the_stored_samples(rows: Rows) -> None:
    """Right with and without, per reflection; unverified texts are in neither number."""
    question, other = rows.question("a"), rows.question("b")
    attempt, right = rows.attempt(question, "incorrect"), rows.attempt(other, "correct")
    helped = rows.reflection(attempt, "1-1-1")
    useless = rows.reflection(attempt, "1-1-2")
    on_right = rows.reflection(right, "1-1-1")
    rows.reflection(attempt, "1-2-1")
    for sample, verdict in enumerate(("correct", "correct", "incorrect", "unverified")):
        rows.attempt(question, verdict, turn=2, reflection=helped, sample=sample)
    for sample in range(3):
        rows.attempt(question, "incorrect", turn=2, reflection=useless, sample=sample)
    for sample, verdict in enumerate(("correct", "incorrect", "incorrect", "unverified")):
        rows.attempt(question, verdict, turn=2, sample=sample)
    rows.attempt(other, "correct", turn=2, reflection=on_right)
    lifts = reflection_lifts(rows.connection, rows.iteration)
    assert lifts == {helped: ReflectionLift(2, 3, 1, 3), useless: ReflectionLift(0, 3, 1, 3)}
    assert lifts[helped].lift == pytest.approx(1 / 3) and lifts[useless].lift == pytest.approx(-1 / 3)
    for reflection in (helped, useless):
        assert reflection_lift(rows.connection, reflection) == lifts[reflection]
    assert reflection_lift(rows.connection, on_right) is None
    assert reflection_lift(rows.connection, 10**6) is None


@pytest.mark.parametrize(
    ("lift", "expected"),
    [
        (ReflectionLift(1, 1, 0, 0), None),
        (ReflectionLift(0, 0, 1, 1), None),
        (ReflectionLift(0, 0, 0, 0), None),
        (ReflectionLift(2, 2, 0, 4), 1.0),
        (ReflectionLift(0, 3, 3, 3), -1.0),
    ],
)
def test_a_lift_without_verified_samples_is_unknown(lift: ReflectionLift, expected: float | None) -> None:
    """Nothing is divided by zero, and unknown is not zero."""
    assert lift.lift == expected


def test_other_iterations_and_held_out_answers_are_in_no_lift(rows: Rows) -> None:
    """Questions recur in every iteration of a run."""
    question = rows.question("a")
    attempt = rows.attempt(question, "incorrect")
    reflection = rows.reflection(attempt, "1-1-1")
    rows.attempt(question, "correct", turn=2, reflection=reflection)
    held_out = rows.attempt(question, "incorrect", protocol="oracle/1")
    rows.attempt(question, "correct", turn=2, protocol="oracle/1")
    on_held_out = rows.reflection(held_out, "general", protocol="oracle/1")
    rows.attempt(question, "correct", turn=2, reflection=on_held_out, protocol="oracle/1")
    before = rows.iteration
    with write(rows.connection):
        rows.iteration = add_iteration(rows.connection, rows.run, rows.policy, {}, 0)
    rows.attempt(question, "correct", turn=2)
    assert reflection_lifts(rows.connection, before) == {reflection: ReflectionLift(1, 1, 0, 0)}
    assert reflection_lift(rows.connection, reflection) == ReflectionLift(1, 1, 0, 0)


def test_reflections_on_right_attempts_do_not_dilute_the_yields(rows: Rows) -> None:
    """The `adaptive` draw counts how often an instruction repairs a wrong answer."""
    question, other = rows.question("a"), rows.question("b")
    rows.corrected(rows.attempt(question, "incorrect"), question, "correct", instruction="1-1-1")
    rows.corrected(rows.attempt(other, "correct"), other, "correct", instruction="1-1-1")
    assert instruction_yields(rows.connection, rows.run, 2) == {("quiz", "1-1-1"): (1, 1)}


def test_sampled_attempts_are_reused_under_the_same_temperature_only(rows: Rows) -> None:
    """Another temperature would make another sample."""
    run_plan(rows, training_plan(rows.connection, rows.iteration).plan)
    generated = {}
    for temperature in (0.9, 1.2):
        settings = run_settings(
            **{**SAMPLED, "attempt": {"samples": 2, "sample_temperature": temperature}, "reuse": {"iteration": 1}}
        )
        with write(rows.connection):
            rows.iteration = add_iteration(rows.connection, rows.run, rows.policy, settings.model_dump(mode="json"), 0)
        generated[temperature] = len(run_plan(rows, training_plan(rows.connection, rows.iteration).plan).of("attempt"))
    assert generated == {0.9: 0, 1.2: 12}


def test_right_attempts_are_reflected_on_with_a_prompt_that_reveals_nothing(tmp_path: Path) -> None:
    """`reflection.on = "all"`: c→c and c→i become trajectories, and no prompt differs by the verdict."""
    made = Rows(tmp_path / "reflectevo.db", run_settings(reflection={"on": "all", "instructions": ["general"]}))
    add_questions(made)
    plan = training_plan(made.connection, made.iteration).plan
    generator = run_plan(made, plan)
    assert len(generator.of("reflect")) == (3 + 2) * 2
    assert not any("is wrong" in message["content"] for request in generator.requests for message in request.messages)
    assert len({request.messages[-1]["content"] for request in generator.of("reflect")}) == 1
    transitions = {row[0] for row in made.connection.execute("SELECT DISTINCT transition FROM trajectories")}
    assert {one[0] for one in transitions if "→" in one} == {"c", "i"}
    assert {row.instruction for row in rollout_reflections(made.connection, made.iteration)} == {"general"}
    made.connection.close()


def test_a_run_that_samples_everything_shows_and_verifies_it(harness: Make, tmp_path: Path) -> None:
    """Stages count the further texts, and each prompt renders again to its stored hash."""
    sections = """
[attempt]
samples = 2

[correction]
samples = 2
temperature = 0.8
"""
    settings = quiz_settings(tmp_path, sections=sections, train=12, test=4)
    one = harness(settings.replace('instructions = "random:2"', 'instructions = "random:1+general"'))
    one.start()
    one.run()
    one.wait_state("done")
    wrong = one.rows("SELECT count(*) FROM attempts WHERE protocol = '' AND turn = 1 AND sample = 0"
                     " AND verdict = 'incorrect'")[0][0]  # fmt: skip
    totals = dict(one.rows("SELECT name, total FROM stages WHERE name IN ('attempt', 'reflect', 'correct')"))
    assert totals == {"attempt": 12 * 3, "reflect": wrong * 4, "correct": wrong * 4 * 2 + wrong * 2}
    assert one.rows("SELECT count(*) FROM stages WHERE owed > 0") == [(0,)]
    assert one.rows("SELECT count(*) FROM reflections WHERE protocol = '' AND instruction = 'general'") == [
        (wrong * 2,)
    ]
    for (number,) in one.rows("SELECT id FROM attempts"):
        assert rerender(one.workspace, attempt_id=number, reflection_id=None)["matches"] is True, number
