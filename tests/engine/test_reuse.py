"""Tests of reusing earlier texts: only those generated from the same prompt under the same settings."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.evaluation.load_plan import held_out_plan
from engine.rollout.load_plan import training_plan
from engine.rollout.plan import RolloutPlan, count
from engine.rollout.reuse import Prompted, offer
from store.database.connection import write
from store.rollouts.attempts import rollout_attempts, rollout_reflections
from store.runs import iterations
from store.settings import RunSettings
from tests.support.rollout_plans import FakeGenerator, add_questions, make_rollout, run_plan, stage_of, stored
from tests.support.rows import Rows, run_settings

EARLIER = {"reflection": {"instructions": "random:2", "samples": 2}}


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """A run whose first iteration has finished its rollouts."""
    made = Rows(tmp_path / "reflectevo.db", run_settings(**EARLIER))
    add_questions(made)
    run_plan(made, training_plan(made.connection, made.iteration).plan)
    yield made
    made.connection.close()


def next_iteration(rows: Rows, **changes: Any) -> RolloutPlan:
    """Start another iteration from the same policy; return its plan."""
    settings = RunSettings.model_validate({**rows.settings.model_dump(mode="json"), **changes})
    with write(rows.connection):
        rows.iteration = iterations.add_iteration(
            rows.connection, rows.run, rows.policy, settings.model_dump(mode="json"), 0
        )
    return training_plan(rows.connection, rows.iteration).plan


def asked(generator: FakeGenerator) -> Counter[str]:
    return Counter(map(stage_of, generator.requests))


def test_attempts_are_taken_over_and_reflected_on_anew(rows: Rows) -> None:
    """Another instruction setting reflects on the same attempts, which makes the two comparable."""
    first = {row.question_id: row for row in rollout_attempts(rows.connection, rows.iteration) if row.turn == 1}
    plan = next_iteration(rows, reuse={"iteration": 1}, reflection={"instructions": ["2-8-2"], "samples": 1})
    generator = run_plan(rows, plan)
    assert asked(generator) == {"reflect": 3, "correct": 3}
    copies = [row for row in rollout_attempts(rows.connection, rows.iteration) if row.turn == 1]
    assert len(copies) == len(first) == 6
    for copy in copies:
        source = first[copy.question_id]
        assert copy.reused_from == source.id
        assert (copy.reasoning, copy.verdict, copy.prompt_hash, copy.seed, copy.completion_tokens) == (
            source.reasoning,
            source.verdict,
            source.prompt_hash,
            source.seed,
            source.completion_tokens,
        )
    assert {row.reused_from for row in rollout_reflections(rows.connection, rows.iteration)} == {None}
    counts = count(plan, stored(rows))
    assert counts.complete and counts.reused["attempt"] == 6
    listed = rows.connection.execute("SELECT count(*) FROM trajectories WHERE iteration_id = ?", (rows.iteration,))
    assert listed.fetchone()[0] == 6, "what was taken over is in the list of the iteration too"


def test_reflections_are_taken_over_with_their_draw(rows: Rows) -> None:
    """Another way of correcting is applied to the same reflections."""
    before = {(row.text, row.instruction, row.sample): row.id for row in rollout_reflections(rows.connection, 1)}
    plan = next_iteration(
        rows, reuse={"iteration": 1, "what": "reflections"}, correction={"show_previous_attempt": False}
    )
    generator = run_plan(rows, plan)
    assert asked(generator) == {"correct": 12}
    copies = rollout_reflections(rows.connection, rows.iteration)
    assert {(row.text, row.instruction, row.sample): row.reused_from for row in copies} == before
    own = {row.id for row in rollout_attempts(rows.connection, rows.iteration)}
    assert all(row.attempt_id in own for row in copies), "they stand on this iteration's attempts"


@pytest.mark.parametrize(
    ("sections", "kinds"),
    [
        ({}, {"turn 1": 6, "reflection": 12, "turn 2": 12}),
        # Further corrections and retries, which a lift is computed from.
        ({"correction": {"temperature": 0.7, "samples": 3}}, {"turn 1": 6, "reflection": 12, "turn 2": 45}),
        ({"attempt": {"samples": 2}}, {"turn 1": 18, "reflection": 12, "turn 2": 12}),
        ({"reflection": {**EARLIER["reflection"], "rounds": 3}}, None),
        ({"reflection": {**EARLIER["reflection"], "on": "all"}}, None),
    ],
)
@pytest.mark.parametrize("one_generation", [False, True])
def test_whole_rollouts_are_taken_over(
    tmp_path: Path, sections: dict[str, Any], kinds: dict[str, int] | None, one_generation: bool
) -> None:
    """Iterations that differ in curation alone have the same trajectories, and the later ones generate nothing."""
    made = Rows(tmp_path / "whole.db", run_settings(**{**EARLIER, **sections}))
    add_questions(made)

    def run(plan: RolloutPlan) -> FakeGenerator:
        return run_plan(made, replace(plan, one_generation=one_generation))

    run(training_plan(made.connection, made.iteration).plan)
    first = made.iteration
    plan = next_iteration(made, reuse={"iteration": 1, "what": "corrections"})
    assert not run(plan).requests

    def texts(iteration: int) -> tuple[Counter[object], Counter[object]]:
        answers, reflections = (
            rollout_attempts(made.connection, iteration),
            rollout_reflections(made.connection, iteration),
        )
        return (
            Counter((one.question_id, one.turn, one.sample, one.reasoning, one.verdict, one.seed) for one in answers),
            Counter((one.instruction, one.sample, one.text, one.seed) for one in reflections),
        )

    assert texts(made.iteration) == texts(first)
    answers = rollout_attempts(made.connection, made.iteration)
    assert all(one.reused_from is not None for one in answers)
    own = {one.id for one in rollout_reflections(made.connection, made.iteration)}
    assert all(one.reflection_id in own for one in answers if one.reflection_id is not None)
    counts = count(plan, stored(made))
    assert counts.complete and counts.reused == counts.done
    if kinds is not None:
        found = Counter(f"turn {one.turn}" for one in answers) + Counter({"reflection": len(own)})
        assert found == kinds
    listed = made.connection.execute(
        "SELECT iteration_id, count(*), sum(correction_id IS NOT NULL) FROM trajectories GROUP BY 1 ORDER BY 1"
    ).fetchall()
    (*earlier,), (*later,) = (row[1:] for row in listed)
    assert earlier == later
    made.connection.close()


@pytest.mark.parametrize(
    ("changes", "generated"),
    [
        ({"correction": {"max_tokens": 9}}, {"correct": 12}),
        ({"correction": {"temperature": 0.5}}, {"correct": 12}),
        ({"correction": {"show_previous_attempt": False}}, {"correct": 12}),
        ({"reflection": {"max_tokens": 9}}, {"reflect": 12, "correct": 12}),
        ({"reflection": {"samples": 3}}, {"reflect": 6, "correct": 6}),
    ],
)
def test_corrections_that_do_not_match_are_generated(
    rows: Rows, changes: dict[str, Any], generated: dict[str, int]
) -> None:
    """Only what this iteration would generate itself is reused."""
    merged = {name: {**EARLIER.get(name, {}), **section} for name, section in changes.items()}
    plan = next_iteration(rows, reuse={"iteration": 1, "what": "corrections"}, **merged)
    assert asked(run_plan(rows, plan)) == generated
    assert count(plan, stored(rows)).complete


@pytest.mark.parametrize(
    ("changes", "generated"),
    [
        # Other decoding: none of the texts is what this iteration would generate.
        ({"attempt": {"max_tokens": 9}}, {"attempt": 6, "reflect": 12, "correct": 12}),
        ({"reflection": {"max_tokens": 9}}, {"reflect": 12, "correct": 12}),
        ({"reflection": {"temperature": 0.9}}, {"reflect": 12, "correct": 12}),
        # More samples: existing ones are reused, the others generated.
        ({"reflection": {"samples": 3}}, {"reflect": 6, "correct": 18}),
        ({"reflection": {"rounds": 2}}, None),
    ],
)
def test_what_does_not_match_is_generated(
    rows: Rows, changes: dict[str, Any], generated: dict[str, int] | None
) -> None:
    """Reusing a text that was generated under other settings would falsify the iteration."""
    merged = {name: {**EARLIER.get(name, {}), **section} for name, section in changes.items()}
    plan = next_iteration(rows, reuse={"iteration": 1, "what": "reflections"}, **merged)
    generator = run_plan(rows, plan)
    if generated is not None:
        assert asked(generator) == generated
    else:
        later = [row for row in rollout_reflections(rows.connection, rows.iteration) if row.reused_from is None]
        assert asked(generator)["reflect"] == len(later) > 0, "later rounds stand on new corrections"
    assert count(plan, stored(rows)).complete


def test_another_policy_or_prompt_takes_nothing_over(rows: Rows) -> None:
    """The prompt's hash and the policy decide for each text."""
    attempts = rollout_attempts(rows.connection, rows.iteration)
    offered = offer(attempts, rollout_reflections(rows.connection, rows.iteration))
    one = next(attempt for attempt in attempts if attempt.turn == 1)
    same = Prompted(one.policy_id, one.prompt_version, one.prompt_hash)
    assert offered.attempt(one.question_id, 0, same) == one
    for other in (replace(same, policy_id=99), replace(same, version="0"), replace(same, hash="0")):
        assert offered.attempt(one.question_id, 0, other) is None
    assert offered.attempt(one.question_id, 1, same) is None
    assert offered.attempt(one.question_id + 1, 0, same) is None


def test_failed_texts_and_later_turns_are_not_offered(rows: Rows) -> None:
    """A failure is retried, and a correction is not a first attempt."""
    question = rows.question("failed")
    attempt = rows.attempt(question, "unverified", error="x")
    rows.reflection(attempt, error="y")
    offered = offer(
        rollout_attempts(rows.connection, rows.iteration), rollout_reflections(rows.connection, rows.iteration)
    )
    assert len(offered.attempts) == 6 and len(offered.reflections) == 12


def test_an_interrupted_reuse_goes_on(rows: Rows) -> None:
    """A copy is a row like any other: stored once, not generated again, not copied twice."""
    plan = next_iteration(rows, reuse={"iteration": 1, "what": "reflections"})
    generator = FakeGenerator()
    rollout, gauges = make_rollout(rows, plan, generator, concurrency=1)
    original = rollout._writer.reflection

    async def stop_after(*arguments: Any, **more: Any) -> int:
        rollout.stop()
        return await original(*arguments, **more)

    rollout._writer.reflection = stop_after  # type: ignore[method-assign]
    assert asyncio.run(rollout.run()) is False
    assert gauges.counts == count(plan, stored(rows))
    assert asked(run_plan(rows, plan)) == {"correct": 12}
    reused = [row.reused_from for row in rollout_reflections(rows.connection, rows.iteration)]
    assert len(reused) == len(set(reused)) == 12


@pytest.mark.parametrize("number", [2, 7])
def test_there_must_be_such_an_earlier_iteration(rows: Rows, number: int) -> None:
    """The iteration itself, or an unknown one, is an error with a message."""
    with pytest.raises(EngineError, match=f"reuse.iteration is {number}, and iteration 2 can reuse texts only"):
        next_iteration(rows, reuse={"iteration": number})


def test_both_protocols_are_measured_on_the_same_first_answers(tmp_path: Path) -> None:
    """Trap 8 in evaluation: the answers to the questions, and the votes, are generated once for both protocols."""
    both = run_settings(evaluation={"protocol": "both", "vote_samples": 2})
    made = Rows(tmp_path / "both.db", both)
    add_questions(made, split="test")

    def measure(feedback: str) -> tuple[RolloutPlan, FakeGenerator]:
        progressed = held_out_plan(made.connection, made.iteration, made.policy, feedback)  # type: ignore[arg-type]
        generator = FakeGenerator()
        rollout, _ = make_rollout(made, progressed.plan, generator)
        rollout._done = progressed.done
        assert asyncio.run(rollout.run())
        return progressed.plan, generator

    oracle, first = measure("oracle")
    assert asked(first) == {"attempt": 18, "reflect": 3, "correct": 3, "retry": 3}
    free, second = measure("oracle-free")
    assert asked(second) == {"reflect": 5, "correct": 5, "retry": 3}
    assert oracle.protocol.split("/")[1] == free.protocol.split("/")[1]
    texts = made.connection.execute(
        "SELECT protocol, group_concat(reasoning) FROM (SELECT * FROM attempts WHERE turn = 1"
        " ORDER BY question_id, sample) GROUP BY protocol"
    ).fetchall()
    assert len(texts) == 2 and texts[0][1] == texts[1][1]
    again = held_out_plan(made.connection, made.iteration, made.policy, "oracle")
    assert count(again.plan, again.done).complete, "copies don't change what was measured first"
    made.connection.close()
