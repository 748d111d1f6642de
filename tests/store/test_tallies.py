"""Tests the counts that triggers maintain: they equal a count of the rows after any insert, repeat or delete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.curation.curated import NewCurated, curation_counts, replace_curated
from store.database import bulk
from store.rollouts import attempts
from store.rollouts.trajectories import TrajectoryFilter, anchors, count, page
from store.runs.progress import iteration_counts
from tests.support.multiplied_store import multiply
from tests.support.rows import Rows


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """Build a store with one question of each kind of outcome."""
    made = Rows(tmp_path / "reflectevo.db")
    for n in range(3):
        question = made.question(f"which {n}?")
        attempt = made.attempt(question)
        made.corrected(attempt, question)
    failed = made.question("which fails?")
    made.attempt(failed, "unverified", error="the generator gave up")
    held_out = made.question("which is held out?", split="test")
    made.attempt(held_out, protocol="oracle/1")
    yield made
    made.connection.close()


def _counted(rows: Rows) -> dict[str, int]:
    """Return the same numbers by counting rows."""

    def one(query: str) -> int:
        return int(rows.connection.execute(query).fetchone()[0])

    return {
        "attempts": one("SELECT count(*) FROM attempts WHERE protocol = '' AND turn = 1"),
        "attempt_samples": 0,
        "correction_samples": 0,
        "reflections": one("SELECT count(*) FROM reflections WHERE protocol = ''"),
        "corrections": one("SELECT count(*) FROM attempts WHERE protocol = '' AND turn > 1"),
        "evaluation_attempts": one("SELECT count(*) FROM attempts WHERE protocol <> ''"),
        "metrics": 0,
        "failed_samples": one("SELECT count(*) FROM attempts WHERE error IS NOT NULL"),
        "d_plus": one("SELECT count(*) FROM curated WHERE set_name = 'd_plus' AND included"),
        "d_pm": 0,
        "d_pref": 0,
    }


def test_they_are_what_counting_would_give(rows: Rows) -> None:
    counts = iteration_counts(rows.connection, rows.iteration)
    assert counts == _counted(rows)
    assert (counts["attempts"], counts["corrections"], counts["failed_samples"]) == (4, 3, 1)


def test_work_that_is_done_twice_counts_once(rows: Rows) -> None:
    before = iteration_counts(rows.connection, rows.iteration)
    question = rows.connection.execute("SELECT question_id FROM attempts ORDER BY id").fetchone()[0]
    rows.corrected(rows.attempt(question), question)
    assert iteration_counts(rows.connection, rows.iteration) == before == _counted(rows)
    assert count(rows.connection, TrajectoryFilter()) == 3


def test_what_is_deleted_counts_no_more(rows: Rows) -> None:
    assert attempts.forget_failures(rows.connection, rows.iteration) == 1
    counts = iteration_counts(rows.connection, rows.iteration)
    assert counts == _counted(rows)
    assert (counts["attempts"], counts["failed_samples"]) == (3, 0)


def test_another_curation_replaces_the_counts(rows: Rows) -> None:
    reflections = [row[0] for row in rows.connection.execute("SELECT id FROM reflections ORDER BY id")]

    def curate(*reasons: str) -> dict[str, dict[str, int]]:
        decided = [
            NewCurated("d_plus", reflection, None, None, not reason, reason)
            for reflection, reason in zip(reflections, reasons, strict=True)
        ]
        replace_curated(rows.connection, rows.iteration, decided)
        return curation_counts(rows.connection, rows.iteration)

    assert curate("", "too long", "too long") == {"d_plus": {"too long": 2, "included": 1}}
    assert curate("", "", "leak") == {"d_plus": {"included": 2, "leak": 1}}
    assert iteration_counts(rows.connection, rows.iteration) == _counted(rows)


def test_a_multiplied_store_is_whole_and_counted(rows: Rows) -> None:
    """The large stores of the benchmarks: every copy is as complete as the original."""
    rows.connection.execute("DELETE FROM attempts WHERE error IS NOT NULL OR protocol <> ''")
    assert list(multiply(rows.connection, 3)) == [6, 9]
    bulk.finish(rows.connection)
    assert count(rows.connection, TrajectoryFilter()) == 9 == len(page(rows.connection, TrajectoryFilter()))
    assert iteration_counts(rows.connection, rows.iteration) == _counted(rows)
    assert len(page(rows.connection, TrajectoryFilter(search="which "))) == 9
    unmatched = "SELECT count(*) FROM trajectories t JOIN attempts c ON c.id = t.correction_id"
    assert rows.connection.execute(f"{unmatched} WHERE c.reflection_id <> t.reflection_id").fetchone()[0] == 0
    # Without gaps the anchors are computed, not read row by row; both ways agree.
    told = anchors(rows.connection, TrajectoryFilter(), 2)
    assert told == anchors(rows.connection, TrajectoryFilter(split="train"), 2)
    assert told.ids == (0, 2, 4, 6, 8) and told.last == told.total == 9
