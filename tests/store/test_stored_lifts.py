"""Tests the stored lifts: those that the texts give, from the engine, from a migration and from an import."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from store.database import migrations
from store.database.connection import open_writer, write
from store.database.migrations import is_current, migrate
from store.rollouts.attempts import forget_failures
from store.rollouts.lift import ReflectionLift, has_lifts, reflection_lifts, store_lifts, stored_lift
from store.rollouts.trajectory_detail import detail
from store.runs.iterations import add_iteration
from tests.support.lifted import add_sampled
from tests.support.rows import Rows

STORED = "SELECT * FROM trajectories WHERE n_with IS NOT NULL ORDER BY id"


def stored(connection: sqlite3.Connection) -> dict[int, tuple[ReflectionLift | None, float | None]]:
    """Return the stored shares and lifts by reflection."""
    return {row["reflection_id"]: (stored_lift(row), row["lift"]) for row in connection.execute(STORED)}


def expected(connection: sqlite3.Connection, iteration_id: int) -> dict[int, tuple[ReflectionLift, float | None]]:
    """Return what `reflection_lifts` computes from the texts of sampled questions."""
    sampled = {
        row[0]
        for row in connection.execute(
            "SELECT r.id FROM reflections r JOIN attempts a ON a.id = r.attempt_id WHERE EXISTS (SELECT 1 FROM"
            " attempts k WHERE k.iteration_id = a.iteration_id AND k.question_id = a.question_id AND k.turn = 2"
            " AND k.reflection_id IS NULL AND k.protocol = '')"
        )
    }
    lifts = reflection_lifts(connection, iteration_id)
    return {key: (shares, shares.lift) for key, shares in lifts.items() if key in sampled}


def test_lifts_are_stored_with_their_trajectories(rows: Rows) -> None:
    """Unverified texts count in no share; a lift is unknown where one of the shares is."""
    first, second, unknown = add_sampled(rows, "a", ["ccci", "iiii", "uuuu"], "ciiu")
    (never,) = add_sampled(rows, "b", ["ccc"], "")
    (unverified,) = add_sampled(rows, "c", ["cci"], "uu")
    assert not has_lifts(rows.connection)
    assert store_lifts(rows.connection, rows.iteration) == 2
    assert stored(rows.connection) == {
        first: (ReflectionLift(3, 4, 1, 3), pytest.approx(3 / 4 - 1 / 3)),
        second: (ReflectionLift(0, 4, 1, 3), pytest.approx(-1 / 3)),
        unknown: (ReflectionLift(0, 0, 1, 3), None),
        unverified: (ReflectionLift(2, 3, 0, 0), None),
    }
    assert never not in stored(rows.connection)
    assert has_lifts(rows.connection) and has_lifts(rows.connection, rows.iteration)
    assert not has_lifts(rows.connection, rows.iteration + 1)


@pytest.mark.parametrize(
    ("counts", "lift"),
    [
        ((2, 3, 1, 6), 0.5),
        ((1, 3, 2, 6), 0.0),
        ((3, 10, 1, 5), 0.1),
        ((5, 6, 1, 3), 0.5),
        ((1, 10, 3, 10), -0.2),
    ],
)
def test_equal_differences_are_equal_numbers(counts: tuple[int, int, int, int], lift: float) -> None:
    """2/3 − 1/6 is 0.5 and not 0.4999…: a threshold and `made no difference` compare exactly."""
    assert ReflectionLift(*counts).lift == lift


def test_storing_again_changes_nothing_and_follows_the_verdicts(rows: Rows) -> None:
    """A correction that is verified again changes the lift of its own reflection only."""
    first, second = add_sampled(rows, "a", ["ci", "ii"], "ii")
    store_lifts(rows.connection, rows.iteration)
    before = stored(rows.connection)
    store_lifts(rows.connection, rows.iteration)
    assert stored(rows.connection) == before
    rows.connection.execute(
        "UPDATE attempts SET verdict = 'correct' WHERE reflection_id = ? AND verdict = 'incorrect'", (first,)
    )
    store_lifts(rows.connection, rows.iteration)
    assert stored(rows.connection) == {first: (ReflectionLift(2, 2, 0, 2), 1.0), second: before[second]}
    rows.connection.execute("UPDATE attempts SET verdict = 'unverified' WHERE turn = 2 AND reflection_id IS NULL")
    assert store_lifts(rows.connection, rows.iteration) == 0
    assert not has_lifts(rows.connection)


def test_another_iteration_keeps_its_lifts(rows: Rows) -> None:
    """Questions recur in every iteration of a run."""
    (first,) = add_sampled(rows, "a", ["cc"], "ii")
    store_lifts(rows.connection, rows.iteration)
    before = rows.iteration
    with write(rows.connection):
        rows.iteration = add_iteration(rows.connection, rows.run, rows.policy, {}, 0)
    (second,) = add_sampled(rows, "a", ["ii"], "cc")
    store_lifts(rows.connection, rows.iteration)
    assert {key: lift for key, (_, lift) in stored(rows.connection).items()} == {first: 1.0, second: -1.0}
    store_lifts(rows.connection, before)
    assert {key: lift for key, (_, lift) in stored(rows.connection).items()} == {first: 1.0, second: -1.0}


def test_failed_samples_are_in_no_share_and_forgetting_them_changes_none(rows: Rows) -> None:
    """Failed samples are deleted and generated again; until then the lift rests on the others."""
    (reflection,) = add_sampled(rows, "a", ["ci"], "ii")
    question = rows.question("a")
    rows.attempt(question, "unverified", turn=2, reflection=reflection, sample=2, error="timeout")
    store_lifts(rows.connection, rows.iteration)
    before = stored(rows.connection)
    assert before == {reflection: (ReflectionLift(1, 2, 0, 2), 0.5)}
    assert forget_failures(rows.connection, rows.iteration) == 1
    store_lifts(rows.connection, rows.iteration)
    assert stored(rows.connection) == before


def test_the_detail_holds_the_stored_shares(rows: Rows) -> None:
    """The line "with it 3 of 4 right, without it 1 of 4" shows the numbers that the list is ordered by."""
    add_sampled(rows, "a", ["ccci"], "ciii")
    question = rows.question("b")
    rows.corrected(rows.attempt(question), question)
    store_lifts(rows.connection, rows.iteration)
    found = detail(rows.connection, 1)
    assert found is not None and found.lift == ReflectionLift(3, 4, 1, 4) and found.row.lift == 0.5
    other = detail(rows.connection, 2)
    assert other is not None and other.lift is None and other.row.lift is None


VERDICTS = st.text("ciu", min_size=1, max_size=4)
QUESTIONS = st.lists(
    st.tuples(st.lists(VERDICTS, min_size=1, max_size=3), st.text("ciu", max_size=4)), min_size=1, max_size=5
)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return a writer on a workspace of the fifth schema."""
    with closing(open_writer(tmp_path / "old.db")) as connection:
        migrations._migrations().apply(Database(connection), stop_before="0006_lifts")
        yield connection


@given(QUESTIONS, st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_migration_and_the_engine_store_what_the_texts_give(
    tmp_path_factory: pytest.TempPathFactory, questions: list[tuple[list[str], str]], again: bool
) -> None:
    """An old workspace gets the lifts that a new one would have: the copy of the query in the migration agrees."""
    directory = tmp_path_factory.mktemp("lifts")
    made = Rows(directory / "new.db")
    with closing(made.connection), closing(open_writer(directory / "old.db")) as old:
        for number, (with_reflection, without) in enumerate(questions):
            add_sampled(made, f"q{number}", with_reflection, without)
        migrations._migrations().apply(Database(old), stop_before="0006_lifts")
        _copy(made, old)
        store_lifts(made.connection, made.iteration)
        migrate(old)
        assert is_current(old)
        found = stored(made.connection)
        assert found == stored(old) == expected(made.connection, made.iteration)
        if again:
            store_lifts(old, made.iteration)
            assert stored(old) == found


def _copy(made: Rows, old: sqlite3.Connection) -> None:
    """Copy the rows of a workspace into one of the fifth schema."""
    old.execute("PRAGMA foreign_keys = OFF")
    for table in ("runs", "policies", "iterations", "questions", "run_questions", "attempts", "reflections"):
        rows = [tuple(row) for row in made.connection.execute(f"SELECT * FROM {table}")]
        old.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    columns = [row["name"] for row in old.execute("PRAGMA table_info(trajectories)")]
    rows = [tuple(row) for row in made.connection.execute(f"SELECT {', '.join(columns)} FROM trajectories")]
    old.executemany(f"INSERT INTO trajectories VALUES ({', '.join('?' * len(columns))})", rows)


def test_an_old_workspace_without_samples_keeps_its_rows(old: sqlite3.Connection, tmp_path: Path) -> None:
    """With one correction for each reflection nothing is known of its lift, and no row changes."""
    made = Rows(tmp_path / "new.db")
    with closing(made.connection):
        question = made.question("a")
        made.corrected(made.attempt(question), question)
        _copy(made, old)
    before = [tuple(row) for row in old.execute("SELECT * FROM trajectories")]
    migrate(old)
    assert [tuple(row)[: len(before[0])] for row in old.execute("SELECT * FROM trajectories")] == before
    assert not has_lifts(old) and stored(old) == {}
