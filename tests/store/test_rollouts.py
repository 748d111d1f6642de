"""Tests the rows of rollouts: content keys, trajectories finished once, failures removed completely."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.curation.curated import NewCurated, curated, curation_counts, replace_curated
from store.curation.reviews import add_review
from store.database.connection import write
from store.rollouts import attempts
from store.rollouts.trajectories import TrajectoryFilter, count, page
from store.runs import iterations, runs
from tests.support.rows import Rows


def _number_of(rows: Rows, table: str) -> int:
    return int(rows.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _search_is_sound(rows: Rows) -> None:
    """Raise when the search index and the texts it indexes differ."""
    rows.connection.execute("INSERT INTO trajectory_search (trajectory_search, rank) VALUES ('integrity-check', 1)")


@pytest.mark.parametrize("protocol", ["", "oracle/abc"])
def test_the_same_work_twice_is_one_row_with_one_id(rows: Rows, protocol: str) -> None:
    """A restart that repeats a generation step must find the stored row, for rollouts and evaluations alike."""
    question = rows.question("q")
    attempt = rows.attempt(question, text="first", protocol=protocol)
    assert rows.attempt(question, text="another text", protocol=protocol) == attempt
    reflection = rows.reflection(attempt, text="first", protocol=protocol)
    assert rows.reflection(attempt, text="another", protocol=protocol) == reflection
    correction = rows.attempt(question, turn=2, reflection=reflection, protocol=protocol)
    assert rows.attempt(question, turn=2, reflection=reflection, protocol=protocol) == correction
    retry = rows.attempt(question, turn=2, protocol=protocol)
    assert len({attempt, correction, retry}) == 3
    stored = attempts.get_attempt(rows.connection, attempt)
    assert stored is not None and stored.reasoning == "first"


def test_what_differs_in_any_part_of_its_key_is_other_work(rows: Rows) -> None:
    """Instruction, sample, protocol and iteration each make the key different; none may replace another's row."""
    question = rows.question("q")
    attempt = rows.attempt(question)
    assert rows.attempt(question, protocol="oracle/abc") != attempt
    keys = [
        rows.reflection(attempt, "1-1-1"),
        rows.reflection(attempt, "1-1-2"),
        rows.reflection(attempt, "1-1-1", sample=1),
    ]
    first = rows.iteration
    with write(rows.connection):
        rows.iteration = iterations.add_iteration(rows.connection, rows.run, rows.policy, {}, 0)
    assert rows.attempt(question) != attempt
    keys.append(rows.reflection(attempt, "1-1-1"))
    assert len(set(keys)) == 4
    assert len(attempts.rollout_attempts(rows.connection, first)) == 1


def test_an_evaluation_belongs_to_policy_and_protocol_not_to_an_iteration(rows: Rows) -> None:
    """A parent measured earlier as a child must not be measured again by the next iteration."""
    question = rows.question("q", split="test")
    attempt = rows.attempt(question, protocol="oracle/abc")
    rows.reflection(attempt, "general", protocol="oracle/abc")
    with write(rows.connection):
        rows.iteration = iterations.add_iteration(rows.connection, rows.run, rows.policy, {}, 0)
    assert rows.attempt(question, protocol="oracle/abc") == attempt
    assert len(attempts.evaluation_attempts(rows.connection, rows.policy, "oracle/abc")) == 1
    assert len(attempts.evaluation_reflections(rows.connection, rows.policy, "oracle/abc")) == 1
    assert attempts.evaluation_reflections(rows.connection, rows.policy, "oracle/other") == []


def test_text_that_sqlite_can_not_hold_is_stored_cleaned(rows: Rows) -> None:
    """A truncated emoji from a model must not fail the whole rollout."""
    question = rows.question("q")
    attempt = rows.attempt(question, text="half \ud83d of an emoji")
    reflection = rows.reflection(attempt, text="\udc00\0 end")
    stored = attempts.get_attempt(rows.connection, attempt)
    thought = attempts.get_reflection(rows.connection, reflection)
    assert stored is not None and stored.reasoning == "half \ufffd of an emoji"
    assert thought is not None and thought.text == "\ufffd\0 end"


def test_a_trajectory_is_finished_once_with_its_transition(rows: Rows) -> None:
    """A second call (after a restart) duplicates neither the list row nor its text in the search index."""
    question = rows.question("how many apples")
    attempt = rows.attempt(question)
    reflection, correction = rows.corrected(attempt, question, "correct", text="counted twice", flags="short")
    attempts.finish_trajectory(rows.connection, attempt, reflection, correction)
    attempts.finish_trajectory(rows.connection, attempt, reflection, None)
    (row,) = page(rows.connection, TrajectoryFilter())
    assert (row.transition, row.instruction, row.flags, row.excerpt) == ("i→c", "1-1-1", "short", "counted twice")
    assert count(rows.connection, TrajectoryFilter(search="apples counted")) == 1
    _search_is_sound(rows)


@pytest.mark.parametrize(
    ("first", "second", "transition"),
    [
        ("incorrect", "correct", "i→c"),
        ("incorrect", "incorrect", "i→i"),
        ("correct", "incorrect", "c→i"),
        ("correct", "correct", "c→c"),
        ("incorrect", "unverified", "i→u"),
        ("correct", None, "c"),
        ("unverified", None, "u"),
    ],
)
def test_transitions(
    rows: Rows,
    first: Literal["correct", "incorrect", "unverified"],
    second: Literal["correct", "incorrect", "unverified"] | None,
    transition: str,
) -> None:
    """The four transitions of the method, unverified sides, and attempts without a reflection."""
    question = rows.question("q")
    attempt = rows.attempt(question, first)
    if second is None:
        attempts.finish_trajectory(rows.connection, attempt, None, None)
    else:
        rows.corrected(attempt, question, second)
    assert [row.transition for row in page(rows.connection, TrajectoryFilter())] == [transition]


def test_yields_count_training_corrections_of_earlier_iterations(rows: Rows) -> None:
    """The adaptive draw uses i→c yields by task and instruction, never from held-out questions."""
    for number, verdict in enumerate(("correct", "incorrect", "correct")):
        question = rows.question(f"q{number}")
        rows.corrected(rows.attempt(question), question, verdict, instruction="1-2-1")  # type: ignore[arg-type]
    held_out = rows.question("test", split="test")
    rows.corrected(rows.attempt(held_out, protocol="p"), held_out, "correct", instruction="general", protocol="p")
    assert attempts.instruction_yields(rows.connection, rows.run, before=1) == {}
    assert attempts.instruction_yields(rows.connection, rows.run, before=2) == {("quiz", "1-2-1"): (2, 3)}


def test_the_newest_review_counts_and_none_is_lost(rows: Rows) -> None:
    """Decisions are append-only; the list and curation follow the newest, and `clear` withdraws one."""
    question = rows.question("q")
    reflection, _ = rows.corrected(rows.attempt(question), question)
    for decision, shown in (("reject", {reflection: "reject"}), ("accept", {reflection: "accept"}), ("clear", {})):
        add_review(rows.connection, reflection, decision, error_kind=3, note="n\ud800", reviewer="me@here")
        assert attempts.reviewed(rows.connection, rows.iteration) == shown
        (row,) = page(rows.connection, TrajectoryFilter())
        assert row.review == shown.get(reflection, "")
    stored = rows.connection.execute("SELECT decision, note, reviewer FROM reviews ORDER BY id").fetchall()
    assert [tuple(row) for row in stored] == [(name, "n\ufffd", "me@here") for name in ("reject", "accept", "clear")]


def _failures(rows: Rows, marks: list[tuple[bool, bool, bool]]) -> int:
    """Store questions whose attempt, first reflection or its correction failed; returns the number of rows with an
    error.
    """
    failed = 0
    for number, (bad_attempt, bad_reflection, bad_correction) in enumerate(marks):
        question = rows.question(f"question {number}")
        attempt = rows.attempt(
            question, "unverified" if bad_attempt else "incorrect", error="x" if bad_attempt else None
        )
        failed += bad_attempt
        if bad_attempt:
            attempts.finish_trajectory(rows.connection, attempt, None, None)
            continue
        rows.corrected(attempt, question, "correct", instruction="2-2-2")
        reflection = rows.reflection(attempt, error="x" if bad_reflection else None)
        failed += bad_reflection
        if bad_reflection:
            attempts.finish_trajectory(rows.connection, attempt, reflection, None)
            continue
        correction = rows.attempt(
            question, "unverified", turn=2, reflection=reflection, error="x" if bad_correction else None
        )
        failed += bad_correction
        attempts.finish_trajectory(rows.connection, attempt, reflection, correction)
    return failed


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=5))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_forgotten_failures_are_gone_and_nothing_else_is(rows: Rows, marks: list[tuple[bool, bool, bool]]) -> None:
    """Afterwards no error row is left, every row with a text is, and the search index matches the texts."""
    rows.connection.execute("SAVEPOINT example")
    try:
        failed = _failures(rows, marks)
        sound = "SELECT id FROM {} WHERE error IS NULL ORDER BY id"
        before = [rows.connection.execute(sound.format(t)).fetchall() for t in ("attempts", "reflections")]
        assert attempts.forget_failures(rows.connection, rows.iteration) == failed
        after = [rows.connection.execute(sound.format(t)).fetchall() for t in ("attempts", "reflections")]
        assert [[row[0] for row in found] for found in after] == [[row[0] for row in found] for found in before]
        left = "SELECT count(*) FROM {} WHERE error IS NOT NULL"
        assert [rows.connection.execute(left.format(t)).fetchone()[0] for t in ("attempts", "reflections")] == [0, 0]
        assert rows.connection.execute("PRAGMA foreign_key_check").fetchall() == []
        _search_is_sound(rows)
    finally:
        rows.connection.execute("ROLLBACK TO example")
        rows.connection.execute("RELEASE example")


def test_failures_that_curation_left_out_can_be_forgotten(rows: Rows) -> None:
    """Curation lists a failed correction as left out; that row must not prevent a retry of the correction."""
    question = rows.question("q")
    attempt = rows.attempt(question)
    reflection = rows.reflection(attempt)
    correction = rows.attempt(question, "unverified", turn=2, reflection=reflection, error="too long")
    attempts.finish_trajectory(rows.connection, attempt, reflection, correction)
    with write(rows.connection):
        row = NewCurated("d_plus", reflection, None, correction, False, "correction unverified")
        replace_curated(rows.connection, rows.iteration, [row])
        assert attempts.forget_failures(rows.connection, rows.iteration) == 1
    assert curated(rows.connection, rows.iteration, "d_plus", included=False) == []


def test_a_failed_reflection_that_somebody_reviewed_stays(rows: Rows) -> None:
    """Reviews are append-only, so the row they refer to stays with them."""
    question = rows.question("q")
    attempt = rows.attempt(question)
    failed, reviewed = rows.reflection(attempt, error="x"), rows.reflection(attempt, sample=1, error="x")
    for reflection in (failed, reviewed):
        attempts.finish_trajectory(rows.connection, attempt, reflection, None)
    add_review(rows.connection, reviewed, "flag", reviewer="me")
    assert attempts.forget_failures(rows.connection, rows.iteration) == 1
    assert attempts.get_reflection(rows.connection, reviewed) is not None
    assert _number_of(rows, "trajectories") == 1


def test_held_out_failures_can_be_forgotten_alone(rows: Rows) -> None:
    """After a child is trained only its evaluation can still change."""
    question = rows.question("q")
    rows.attempt(question, "unverified", error="x")
    rows.attempt(question, "unverified", protocol="oracle/abc", error="x")
    assert attempts.forget_failures(rows.connection, rows.iteration, held_out_only=True) == 1
    assert len(attempts.rollout_attempts(rows.connection, rows.iteration)) == 1


def test_curation_is_replaced_whole_with_its_reasons(rows: Rows) -> None:
    """Curating again after a review must not leave old rows among the new ones."""
    question = rows.question("q")
    attempt = rows.attempt(question)
    good, correction = rows.corrected(attempt, question)
    bad, _ = rows.corrected(attempt, question, "incorrect", instruction="1-1-2")
    for _ in range(2):
        with write(rows.connection):
            replace_curated(
                rows.connection,
                rows.iteration,
                [
                    NewCurated("d_plus", good, None, correction, True, ""),
                    NewCurated("d_plus", bad, None, None, False, "correction incorrect"),
                    NewCurated("d_pm", good, bad, correction, True, ""),
                ],
            )
    assert curation_counts(rows.connection, rows.iteration) == {
        "d_plus": {"included": 1, "correction incorrect": 1},
        "d_pm": {"included": 1},
    }
    (pair,) = curated(rows.connection, rows.iteration, "d_pm")
    assert (pair.reflection_id, pair.rejected_reflection_id, pair.included) == (good, bad, True)


def test_a_trajectory_stands_in_the_split_of_its_run(rows: Rows) -> None:
    """Two runs may split the same questions differently: held out in one, used for training in the other."""
    rows.question("q", split="test")
    with write(rows.connection):
        rows.run = runs.add_run(rows.connection, "other", "none", {}, "")
        rows.policy = rows.add_policy("p00", None, "promoted")
        rows.iteration = iterations.add_iteration(rows.connection, rows.run, rows.policy, {}, 0)
    question = rows.question("q", split="train")
    rows.corrected(rows.attempt(question), question, "correct")
    assert [row[0] for row in rows.connection.execute("SELECT split FROM trajectories")] == ["train"]
    assert attempts.instruction_yields(rows.connection, rows.run, 2) == {("quiz", "1-1-1"): (1, 1)}
