"""Tests of the writer that stores finished generations: it waits while the disk is full and loses nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.generation.base import Generated, GenerationRequest
from engine.rollout import store_writer as writer_module
from engine.rollout.gauges import Gauges
from engine.rollout.plan import count
from engine.rollout.runner import RolloutRunner
from engine.rollout.store_writer import StoreWriter
from store.rollouts.attempts import NewAttempt
from tests.support.rollout_plans import FakeGenerator, add_questions, make_plan, run_plan, stored, verify, work
from tests.support.rows import Rows
from tests.support.waiting import STALL_SECONDS


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rows]:
    """A database with questions, and a writer with short retry intervals."""
    monkeypatch.setattr(writer_module, "_RETRY_SECONDS", 0.01)
    made = Rows(tmp_path / "reflectevo.db")
    add_questions(made)
    yield made
    made.connection.close()


def _fill(connection: sqlite3.Connection) -> None:
    """Make SQLite itself report a full disk: the file may not grow by a page."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")


def _free(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA max_page_count = 1000000")


def test_a_full_disk_pauses_the_generator_and_loses_nothing(
    rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Promise 10: a stated reason, no lost or duplicated row, and it resumes by itself when there is space again."""
    generator = FakeGenerator()
    reasons: list[str | None] = []

    async def hold(reason: str | None) -> None:
        reasons.append(reason)
        await (generator.resume() if reason is None else generator.pause())
        if len(reasons) == 6:
            _free(rows.connection)

    plan = make_plan(rows)
    # Long texts, so that a few rows need new pages.
    long = "very long " * 500

    class Wordy(FakeGenerator):
        async def generate(self, request: GenerationRequest, on_text: Callable[[str], None] | None = None) -> Generated:
            made = await super().generate(request, on_text)
            return type(made)(made.text + long, 1, 0, 1, "stop", 0.0, made.seed)

    generator = Wordy()
    gauges = Gauges(count(plan, {}))
    rollout = RolloutRunner(
        plan, {}, generator, verify, StoreWriter(rows.connection, hold), gauges, concurrency=4, retries=0
    )
    _fill(rows.connection)
    assert asyncio.run(asyncio.wait_for(rollout.run(), STALL_SECONDS))
    assert generator.calls[0] == "pause"
    assert generator.calls[-1] == "resume"
    assert reasons[-1] is None
    assert all(reason is None or "database or disk is full" in reason for reason in reasons)
    assert "free space" in capsys.readouterr().err
    assert count(plan, stored(rows)).complete

    straight = Rows(tmp_path / "straight.db")
    add_questions(straight)
    run_plan(straight, make_plan(straight), Wordy())
    assert work(rows) == work(straight)
    straight.connection.close()
    assert rows.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_held_piece_is_whole_or_absent(rows: Rows) -> None:
    """An attempt and the trajectory that it ends are one transaction: a disk that fills in between stores neither."""
    question = rows.connection.execute("SELECT id FROM questions").fetchone()[0]
    rows.connection.execute(
        "CREATE TEMP TRIGGER full BEFORE INSERT ON trajectories BEGIN SELECT raise(ABORT, 'disk is full'); END"
    )

    async def hold(reason: str | None) -> None:
        if reason:
            assert not rows.connection.in_transaction
            assert stored(rows) == {}
            rows.connection.execute("DROP TRIGGER full")

    new = NewAttempt(rows.generation("text"), question, 1, None, "A", "correct", "", None)
    writer = StoreWriter(rows.connection, hold)
    real = writer_module.finish_trajectory

    def finish(*given: object) -> None:
        try:
            real(*given)  # type: ignore[arg-type]
        except sqlite3.IntegrityError as error:
            full = sqlite3.OperationalError(str(error))
            full.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise full from error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "finish_trajectory", finish)
        attempt = asyncio.run(writer.attempt(new, ends_trajectory=(None, None)))
    assert [row[0] for row in rows.connection.execute("SELECT attempt_id FROM trajectories")] == [attempt]


def test_what_is_no_trouble_of_the_disk_propagates(rows: Rows) -> None:
    """A broken invariant is a bug, which no waiting can clear."""

    async def hold(reason: str | None) -> None:
        raise AssertionError("nothing to wait for")

    new = NewAttempt(rows.generation("text"), 10**6, 1, None, "A", "correct", "", None)
    with pytest.raises(sqlite3.IntegrityError):
        asyncio.run(StoreWriter(rows.connection, hold).attempt(new, ends_trajectory=None))
    assert not rows.connection.in_transaction


async def _nobody_holds(reason: str | None) -> None:
    raise AssertionError(f"nothing to wait for: {reason}")


def _attempts(rows: Rows) -> list[NewAttempt]:
    questions = [row[0] for row in rows.connection.execute("SELECT id FROM questions ORDER BY id")]
    return [NewAttempt(rows.generation("text"), one, 1, None, "A", "correct", "", None) for one in questions]


def test_what_is_ready_together_is_one_transaction(rows: Rows) -> None:
    """Each caller gets the id of its own row, and a reader never sees a partial group."""
    commits: list[str] = []
    rows.connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)

    async def store_all() -> list[int]:
        writer = StoreWriter(rows.connection, _nobody_holds)
        return await asyncio.gather(*(writer.attempt(one, ends_trajectory=(None, None)) for one in _attempts(rows)))

    ids = asyncio.run(store_all())
    assert len(commits) == 1
    stored = rows.connection.execute("SELECT id, question_id FROM attempts ORDER BY id").fetchall()
    assert [row["id"] for row in stored] == ids
    assert [row["question_id"] for row in stored] == [one.question_id for one in _attempts(rows)]


def test_one_that_is_refused_takes_no_other_with_it(rows: Rows) -> None:
    """A broken invariant is raised to its own caller; the rest of the group is stored."""
    good, bad = _attempts(rows)[:2], NewAttempt(rows.generation("text"), 10**6, 1, None, "A", "correct", "", None)

    async def store_all() -> list[int | BaseException]:
        writer = StoreWriter(rows.connection, _nobody_holds)
        pieces = (writer.attempt(one, ends_trajectory=None) for one in (good[0], bad, good[1]))
        return await asyncio.gather(*pieces, return_exceptions=True)

    first, refused, last = asyncio.run(store_all())
    assert isinstance(refused, sqlite3.IntegrityError)
    assert [row[0] for row in rows.connection.execute("SELECT id FROM attempts ORDER BY id")] == [first, last]


def test_who_is_cancelled_meanwhile_hears_first_of_what_was_stored(rows: Rows) -> None:
    """Gauges count the results that callers receive: at the end of a rollout they must agree with the rows."""
    told: list[int] = []

    async def store(writer: StoreWriter, attempt: NewAttempt) -> None:
        told.append(await writer.attempt(attempt, ends_trajectory=None))
        await asyncio.sleep(0)
        raise AssertionError("the cancellation was lost")

    async def cancel_the_second() -> list[BaseException | None]:
        writer = StoreWriter(rows.connection, _nobody_holds)
        tasks = [asyncio.create_task(store(writer, one)) for one in _attempts(rows)[:2]]
        await asyncio.sleep(0)
        tasks[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second = asyncio.run(cancel_the_second())
    assert isinstance(first, AssertionError) and isinstance(second, asyncio.CancelledError)
    assert told == [row[0] for row in rows.connection.execute("SELECT id FROM attempts ORDER BY id")]
    assert len(told) == 2
