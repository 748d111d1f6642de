"""Tests of the rollout: what each prompt is built from, no barrier between stages, resume generates only what is
missing.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.generation.base import GenerationRequest
from engine.rollout.plan import count
from store.rollouts.attempts import rollout_attempts, rollout_reflections
from store.settings import PreviousAttempt
from tests.support.rollout_plans import (
    KEYS,
    FakeGenerator,
    add_questions,
    failing,
    make_plan,
    make_rollout,
    question_of,
    reply_to,
    run_plan,
    stage_of,
    stored,
    work,
)
from tests.support.rows import Rows


@contextmanager
def new_rows() -> Iterator[Rows]:
    """Create separate databases, for tests that need several."""
    with tempfile.TemporaryDirectory() as root:
        made = Rows(Path(root) / "reflectevo.db")
        yield made
        made.connection.close()


@pytest.fixture
def rows() -> Iterator[Rows]:
    """A database with questions of every verdict."""
    with new_rows() as made:
        add_questions(made)
        yield made


def _said(request: GenerationRequest) -> str:
    return "\n".join(message["content"] for message in request.messages)


@pytest.mark.parametrize("show", [True, False, "quoted"])
def test_every_reflection_and_correction_comes_from_attempt_1_alone(rows: Rows, show: PreviousAttempt) -> None:
    """Trap 1: a reflection on the retry of another reflection, or a correction conditioned on two, falsifies the
    data.
    """
    generator = run_plan(rows, make_plan(rows, show_previous_attempt=show))
    attempts = {question_of(request): reply_to(request) for request in generator.of("attempt")}
    reflections = {reply_to(request) for request in generator.of("reflect")}
    corrections = {reply_to(request) for request in generator.of("correct")}
    assert len(reflections) == len(corrections) == 3 * len(KEYS)
    for request in generator.of("reflect"):
        said = _said(request)
        assert said.count(attempts[question_of(request)]) == 1
        assert not any(text in said for text in reflections | corrections)
    used = []
    for request in generator.of("correct"):
        said = _said(request)
        assert said.count(attempts[question_of(request)]) == (1 if show else 0)
        assert not any(text in said for text in corrections)
        (reflection,) = [text for text in reflections if text in said]
        assert f"of {question_of(request)} " in reflection
        used.append(reflection)
    assert sorted(used) == sorted(reflections)


@pytest.mark.parametrize(
    ("show", "reflect_on_all"), [(True, False), (False, False), (True, True), ("quoted", False), ("quoted", True)]
)
def test_each_round_comes_from_the_newest_attempt_of_its_chain_and_its_one_reflection(
    rows: Rows, show: PreviousAttempt, reflect_on_all: bool
) -> None:
    """Trap 1 with several rounds: only from round 2 on is a correction reflected on, and each prompt contains only its
    own history; nothing of another chain, and nothing older.
    """
    plan = make_plan(rows, show_previous_attempt=show, rounds=3, reflect_on_all=reflect_on_all)
    generator = run_plan(rows, plan)
    attempts = {row.id: row for row in rollout_attempts(rows.connection, rows.iteration)}
    reflections = {row.id: row for row in rollout_reflections(rows.connection, rows.iteration)}
    said = {request.seed: _said(request) for request in generator.requests}
    texts = {row.reasoning for row in attempts.values()} | {row.text for row in reflections.values()}
    assert {attempt.turn for attempt in attempts.values()} == {1, 2, 3, 4}
    for reflection in reflections.values():
        on = attempts[reflection.attempt_id]
        assert {text for text in texts if text in said[reflection.seed or 0]} == {on.reasoning}
        assert on.verdict == "incorrect" or (reflect_on_all and on.verdict == "correct")
        if on.turn > 1:
            assert (reflection.instruction, reflection.sample) == KEYS[0]
    for attempt in attempts.values():
        if attempt.turn > 1:
            reflection = reflections[attempt.reflection_id or 0]
            before = attempts[reflection.attempt_id]
            assert before.turn == attempt.turn - 1
            expected = {reflection.text} | ({before.reasoning} if show else set())
            assert {text for text in texts if text in said[attempt.seed or 0]} == expected


def test_every_round_is_a_row_of_the_list_and_a_failed_correction_is_reflected_on_once(rows: Rows) -> None:
    """An operator sees the subject of each reflection: the attempt of its own round."""
    run_plan(rows, make_plan(rows, rounds=3))
    attempts = {row.id: row for row in rollout_attempts(rows.connection, rows.iteration)}
    listed = rows.connection.execute("SELECT attempt_id, reflection_id, correction_id, transition FROM trajectories")
    seen = Counter()
    for attempt_id, reflection_id, correction_id, transition in listed:
        if reflection_id is not None:
            on, after = attempts[attempt_id], attempts[correction_id]
            assert (after.reflection_id, after.turn) == (reflection_id, on.turn + 1)
            assert transition == f"{on.verdict[0]}→{after.verdict[0]}"
            seen[on.turn, on.id] += 1
    failed = [row.id for row in attempts.values() if row.turn in (2, 3) and row.verdict == "incorrect"]
    assert sorted(number for (turn, number) in seen if turn > 1) == sorted(failed)
    assert {times for (turn, _), times in seen.items() if turn > 1} == {1}
    assert {times for (turn, _), times in seen.items() if turn == 1} == {len(KEYS)}


def test_no_text_is_generated_twice_and_many_are_at_once(rows: Rows) -> None:
    """Trap 8: one question at a time leaves the accelerator idle, and a duplicated reflection halves the data."""
    plan = make_plan(rows, rounds=3, retries=2, votes=2)
    generator = run_plan(rows, plan, concurrency=16)
    assert generator.widest == 16
    asked = [(request.messages[-1]["content"], request.seed) for request in generator.requests]
    assert len(set(asked)) == len(asked)
    texts = [row.text for row in rollout_reflections(rows.connection, rows.iteration)]
    assert len(set(texts)) == len(texts)
    assert run_plan(rows, plan).requests == []


def test_votes_are_sampled_first_answers_that_change_nothing_else(rows: Rows) -> None:
    """The baseline samples the prompt of attempt 1; a vote is neither reflected on nor listed as a trajectory."""
    with new_rows() as plain:
        add_questions(plain)
        run_plan(plain, make_plan(plain))
        generator = run_plan(rows, make_plan(rows, votes=2))
        first = {question_of(request): request for request in generator.of("attempt") if request.temperature == 0}
        votes = [request for request in generator.of("attempt") if request.temperature == 0.7]
        assert len(votes) == 2 * len(first) == 12
        assert all(vote.messages == first[question_of(vote)].messages for vote in votes)
        stored_votes = [row for row in rollout_attempts(rows.connection, rows.iteration) if row.sample]
        assert Counter(row.sample for row in stored_votes) == {1: 6, 2: 6}
        without = [row for row in work(rows) if row[4] not in {vote.reasoning for vote in stored_votes}]
        assert without == work(plain)


def test_reflections_come_from_the_reflector_and_everything_else_from_the_reasoner(rows: Rows) -> None:
    """Two policies, two generators: a reflection stores the policy that generated it."""
    other = rows.add_policy("reflector", None, "promoted")
    plan = make_plan(rows, reflector=other, rounds=2, retries=1)
    reasoner, reflector = FakeGenerator(), FakeGenerator()
    rollout, gauges = make_rollout(rows, plan, reasoner, reflector=reflector)
    assert asyncio.run(rollout.run())
    assert {stage_of(request) for request in reflector.requests} == {"reflect"}
    assert {stage_of(request) for request in reasoner.requests} == {"attempt", "correct", "retry"}
    assert {row.policy_id for row in rollout_reflections(rows.connection, rows.iteration)} == {other}
    assert {row.policy_id for row in rollout_attempts(rows.connection, rows.iteration)} == {rows.policy}
    assert gauges.counts == count(plan, stored(rows))


def test_prompts_never_hold_the_reference_answer(rows: Rows) -> None:
    """Trap 2: the prompt, and its stored hash, are fixed before there is an answer."""
    rows.question("incorrect secret", reference="TOP-SECRET")
    generator = run_plan(rows, make_plan(rows))
    assert not any("TOP-SECRET" in _said(request) for request in generator.requests)


def test_only_wrong_attempts_are_reflected_on(rows: Rows) -> None:
    """Right answers need no reflection, and unverified ones are skipped: they count as neither."""
    generator = run_plan(rows, make_plan(rows))
    reflected = Counter(question_of(request) for request in generator.of("reflect"))
    assert reflected == {f"incorrect train {number}": len(KEYS) for number in range(3)}
    assert Counter(map(stage_of, generator.requests)) == {"attempt": 6, "reflect": 9, "correct": 9}


def test_without_an_oracle_every_judged_attempt_is_reflected_on_and_no_verdict_is_told(rows: Rows) -> None:
    """Trap 3: right→wrong flips are visible only if right answers are reflected on, without revealing the verdict."""
    generator = run_plan(rows, make_plan(rows, reflect_on_all=True))
    reflected = {question_of(request).split()[0] for request in generator.of("reflect")}
    assert reflected == {"incorrect", "correct"}
    for request in generator.of("reflect") + generator.of("correct"):
        assert "is wrong" not in _said(request)
    told = {request.messages[-1]["content"].split(".")[0] for request in generator.of("reflect")}
    assert len(told) == 1, "the prompt after a right and a wrong answer must read the same"
    transitions = {row[4] for row in work(rows) if row[1] == -1}
    assert transitions & {"c→c", "c→i"}


@pytest.mark.parametrize("reflect_on_all", [False, True])
def test_the_retry_baseline_is_one_second_try_without_a_reflection(rows: Rows, reflect_on_all: bool) -> None:
    """The baseline answers wrong questions once more from attempt 1, and its row is not a trajectory."""
    generator = run_plan(rows, make_plan(rows, retries=1, reflect_on_all=reflect_on_all))
    retries = generator.of("retry")
    assert sorted(map(question_of, retries)) == [f"incorrect train {number}" for number in range(3)]
    for request in retries:
        assert "[attempt" in _said(request)
        assert "[reflect" not in _said(request)
    stored_retries = [
        row for row in rollout_attempts(rows.connection, rows.iteration) if row.turn == 2 and row.reflection_id is None
    ]
    assert len(stored_retries) == 3
    trajectories = [row for row in work(rows) if row[1] == -1]
    assert len(trajectories) == (5 * len(KEYS) + 1 if reflect_on_all else 3 * len(KEYS) + 3)


def test_each_stage_decodes_as_set_and_every_seed_differs(rows: Rows) -> None:
    """Lengths and temperatures belong to their stage; two samples with one seed would be duplicates."""
    generator = run_plan(rows, make_plan(rows, retries=1))
    lengths = {"attempt": 10, "reflect": 20, "correct": 30, "retry": 30}
    for request in generator.requests:
        assert request.max_tokens == lengths[stage_of(request)]
        assert request.temperature == (0.8 if stage_of(request) == "reflect" else 0.0)
    seeds = [request.seed for request in generator.requests]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(("stage", "pieces"), [("attempt", 6), ("reflect", 9), ("correct", 9), ("retry", 3)])
def test_a_generation_that_fails_now_and_then_is_tried_again(rows: Rows, stage: str, pieces: int) -> None:
    """A failure within the limit of retries leaves no trace but its cost."""
    with new_rows() as smooth:
        add_questions(smooth)
        run_plan(smooth, make_plan(smooth, retries=1))
        generator = run_plan(rows, make_plan(rows, retries=1), failing(stage, 2), retries=2)  # type: ignore[arg-type]
        assert len(generator.of(stage)) == 3 * pieces  # type: ignore[arg-type]
        assert work(rows) == work(smooth)


@pytest.mark.parametrize("stage", ["attempt", "reflect", "correct", "retry"])
def test_a_generation_that_fails_for_good_is_a_row_with_its_error(rows: Rows, stage: str) -> None:
    """A bad sample is data, not a crash: it is unverified, ends its trajectory, and is neither retried nor
    outstanding.
    """
    plan = make_plan(rows, retries=1)
    generator = run_plan(rows, plan, failing(stage, 99), retries=1)  # type: ignore[arg-type]
    attempts = rollout_attempts(rows.connection, rows.iteration)
    reflections = rollout_reflections(rows.connection, rows.iteration)
    failed = [row for row in (*attempts, *reflections) if row.error is not None]
    assert len(generator.of(stage)) == 2 * len(failed) > 0  # type: ignore[arg-type]
    assert {row.error for row in failed} == {"the prompt is too long"}
    assert all(row.verdict == "unverified" for row in attempts if row.error is not None)
    assert count(plan, stored(rows)).complete
    # Each failure within a trajectory ended it, so the list shows it.
    expected = {"attempt": 6, "reflect": 12, "correct": 12, "retry": 12}[stage]
    assert len([row for row in work(rows) if row[1] == -1]) == expected
    assert run_plan(rows, plan).requests == []
