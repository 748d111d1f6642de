"""Sustained storing of finished trajectories, as the engine does it: through its writer, with the search index, while
another process pages through the list; against plain sqlite3 inserts of the same rows.

The baseline commits the same rows in transactions of their own, with the same settings of the database, into the same
tables, without search and with nobody reading. A second one inserts all rows in a single transaction, which no engine
could do, because a kill would lose everything: it is reported without a target.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import accumulate
from multiprocessing.synchronize import Event
from pathlib import Path
from random import Random

from engine.rollout.store_writer import StoreWriter
from store.database.connection import open_reader, open_writer, write
from store.database.migrations import migrate
from store.rollouts.attempts import NewAttempt, NewGeneration, NewReflection
from store.rollouts.trajectories import TrajectoryFilter, page
from tests.bench.measure import Row
from tests.support.rows import Rows

QUESTIONS = 4_000
REFLECTIONS = 2
CONCURRENCY = 64
"""Questions in flight concurrently: the default of the settings."""

ROUNDS = 3
AT_LEAST, ROWS_PER_SECOND = 0.3, 2_000
_PAUSE = 0.01
"""Seconds between two pages of the reader: more pages than any operator turns."""

_VOCABULARY = 20_000
_QUESTION, _ATTEMPT, _REFLECTION = 45, 55, 270
"""Mean words of a text, as in the published dataset."""

_COPIED = ("attempts", "reflections", "trajectories")


class _Prose:
    """Texts of random words, frequent and rare ones as in any language (Zipf)."""

    def __init__(self, seed: int) -> None:
        self._draw = Random(seed)
        letters = "etaoinshrdlcumwfgypbvk"
        self._words = ["".join(self._draw.choices(letters, k=self._draw.randint(2, 9))) for _ in range(_VOCABULARY)]
        self._weights = list(accumulate(1 / rank for rank in range(1, _VOCABULARY + 1)))

    def text(self, mean: int) -> str:
        """Return a text of half to one and a half times the mean number of words."""
        length = self._draw.randint(mean // 2, mean + mean // 2)
        return " ".join(self._draw.choices(self._words, cum_weights=self._weights, k=length))


def measure() -> list[Row]:
    """Return the trajectories a second, ours and plain."""
    with tempfile.TemporaryDirectory() as directory:
        # In turns, each round in new files; the median round counts.
        rounds = sorted((_round(Path(directory) / str(n)) for n in range(ROUNDS)), key=lambda one: one[0] / one[1])
    ours, plain, at_once = rounds[len(rounds) // 2]
    what = "finished trajectories stored, with search index and a reader"
    return [
        Row(f"{what} / plain inserts", f"{ours:,.0f}/s", f"{plain:,.0f}/s", ours / plain, AT_LEAST, True),
        Row(f"{what}, a second", f"{ours:,.0f}", f"{ROWS_PER_SECOND:,}", ours / ROWS_PER_SECOND, 1, True),
        Row(f"{what} / plain inserts in one transaction", f"{ours:,.0f}/s", f"{at_once:,.0f}/s", ours / at_once),
    ]


def _round(directory: Path) -> tuple[float, float, float]:
    directory.mkdir()
    rows = Rows(directory / "reflectevo.db")
    prose = _Prose(0)
    with write(rows.connection):
        questions = [rows.question(f"{n} {prose.text(_QUESTION)}") for n in range(QUESTIONS)]
    todo = [(question, _texts(prose)) for question in questions]
    with _reading(rows.path):
        started = time.perf_counter()
        asyncio.run(_store(rows, todo))
        ours = time.perf_counter() - started
    pieces = _pieces(rows.connection)
    rows.connection.close()
    trajectories = QUESTIONS * REFLECTIONS
    return (
        trajectories / ours,
        trajectories / _plain(directory / "plain.db", pieces),
        trajectories / _plain(directory / "once.db", [[one for piece in pieces for one in piece]]),
    )


def _texts(prose: _Prose) -> list[str]:
    """Return an attempt, and each reflection with its correction."""
    return [prose.text(_ATTEMPT), *(prose.text(mean) for mean in (_REFLECTION, _ATTEMPT) * REFLECTIONS)]


async def _store(rows: Rows, todo: list[tuple[int, list[str]]]) -> None:
    """Store the generation steps of each question in order, several questions concurrently, as a rollout does."""

    async def hold(reason: str | None) -> None:
        raise RuntimeError(f"the disk can't be written: {reason}")

    writer = StoreWriter(rows.connection, hold)
    waiting = iter(todo)

    def made(text: str) -> NewGeneration:
        tokens = len(text) // 4
        return NewGeneration(
            rows.iteration, rows.policy, "", 0, text, 300, tokens, "stop", 7, "1", "0" * 64, tokens / 90, None
        )

    async def work() -> None:
        for question, (attempt, *others) in waiting:
            new = NewAttempt(made(attempt), question, 1, None, "A", "incorrect", "choice", 0.0)
            first = await writer.attempt(new, ends_trajectory=None)
            for n in range(REFLECTIONS):
                reflection, correction = others[2 * n : 2 * n + 2]
                told = NewReflection(made(reflection), first, f"1-{n + 1}-2", "")
                reflected = await writer.reflection(told, ends_trajectory=False)
                again = NewAttempt(made(correction), question, 2, reflected, "B", "correct", "choice", 1.0)
                await writer.attempt(again, ends_trajectory=(first, reflected))

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Page through the list in another process meanwhile."""
    context = multiprocessing.get_context("spawn")
    reads, ends = context.Event(), context.Event()
    process = context.Process(target=_read, args=(path, reads, ends))
    process.start()
    if not reads.wait(60):
        raise RuntimeError("the reader did not start")
    try:
        yield
    finally:
        ends.set()
        process.join(30)
    if process.exitcode:
        raise RuntimeError(f"the reader ended with {process.exitcode}")


def _read(path: Path, reads: Event, ends: Event) -> None:
    """Page forwards to the end, repeatedly."""
    with closing(open_reader(path)) as connection:
        reads.set()
        last = 0
        while not ends.wait(_PAUSE):
            rows = page(connection, TrajectoryFilter(), after=last, limit=100)
            last = rows[-1].id if rows else 0


def _pieces(connection: sqlite3.Connection) -> list[list[tuple[str, tuple[object, ...]]]]:
    """Return the stored rows, grouped by the transaction that each generation step had to itself."""
    stored = {
        table: {row["id"]: tuple(row) for row in connection.execute(f"SELECT * FROM {table}")} for table in _COPIED
    }
    ends = {row["correction_id"]: row["id"] for row in connection.execute("SELECT id, correction_id FROM trajectories")}
    pieces = [[("reflections", row)] for row in stored["reflections"].values()]
    for number, row in stored["attempts"].items():
        ended = ends.get(number)
        pieces.append([("attempts", row), *([("trajectories", stored["trajectories"][ended])] if ended else [])])
    return pieces


def _plain(path: Path, transactions: list[list[tuple[str, tuple[object, ...]]]]) -> float:
    """Return the seconds sqlite3 takes to insert rows in so many transactions, with our database settings."""
    with closing(open_writer(path)) as connection:
        migrate(connection)
        connection.execute("PRAGMA foreign_keys = OFF")
        widths = {table: len(row) for piece in transactions for table, row in piece}
        marks = {table: ", ".join("?" * width) for table, width in widths.items()}
        statements = {table: f"INSERT INTO {table} VALUES ({marks[table]})" for table in marks}
        started = time.perf_counter()
        for rows in transactions:
            with write(connection):
                for table, row in rows:
                    connection.execute(statements[table], row)
        return time.perf_counter() - started
