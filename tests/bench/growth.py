"""Cost of ten and a hundred times as many trajectories: storing one, a page, a filter, a search, and the queries
behind the Monitor and `reflectevo status`, on 46,000, 460,000 and 4,600,000 of them.

The stores are measured in turns, so that a busy moment affects all of them, at positions drawn anew each time;
medians are compared, each size with the one before it.

    REFLECTEVO_BENCH_GROWTH=20000   the middle store; the others have a tenth and ten times as many
    REFLECTEVO_BENCH_STORE=DIR      keep the stores there, and reuse existing ones
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import pairwise
from random import Random

from reflectevo_tui.engine_client.status import collect_status
from reflectevo_tui.state.snapshot import read_snapshot
from store.database.connection import checkpoint, open_reader, open_writer, write
from store.rollouts import attempts
from store.rollouts.attempts import NewAttempt, NewGeneration, NewReflection
from store.rollouts.trajectories import TrajectoryFilter, page
from store.runs import iterations, policies, runs
from store.workspace import Workspace
from tests.bench.measure import Row
from tests.bench.stores import TIMES, demo_store, kept_stores

MIDDLE = 460_000
MOST = 1.3
TURNS = 41
GROUP = 64
"""Trajectories stored in one transaction, as many as are in flight concurrently."""

FILTERS = {
    "one filter": TrajectoryFilter(transition="i→c"),
    "two filters": TrajectoryFilter(transition="i→c", task="siqa"),
    "an iteration and a task": TrajectoryFilter(iteration=2, task="math"),
    "a flag that none has": TrajectoryFilter(flag="leak"),
    "what nobody has reviewed": TrajectoryFilter(review="none"),
}
SEARCHES = {
    "a frequent word": "passage ",
    "the start of a word": "pass",
    "a phrase": '"counted twice"',
    "words and a filter": "neighbouring question ",
}

_WORDS = "the sign of the second term was dropped so count every letter again before the total is written down".split()


class _Store:
    """One of the stores, with the operations that are timed on it."""

    def __init__(self, workspace: Workspace, rows: int, stack: ExitStack) -> None:
        self._workspace, self._rows = workspace, rows
        self._reader = stack.enter_context(closing(open_reader(workspace.database)))
        self._writer = stack.enter_context(closing(open_writer(workspace.database)))
        self._draw = Random(rows)
        run = runs.list_runs(self._reader)[0].id
        self._iteration = iterations.list_iterations(self._reader, run)[-1].id
        self._policy = policies.list_policies(self._reader, run)[-1].id
        self._questions = [one.id for one in runs.run_questions(self._reader, run, "test")]
        # A number that no attempt of an earlier benchmark on this store has.
        self._sample = page(self._reader, TrajectoryFilter(), limit=1, backwards=True)[0].id

    def works(self) -> dict[str, Callable[[], object]]:
        """Return the timed operations by name."""
        found: dict[str, Callable[[], object]] = {
            f"insert of {GROUP} trajectories": self._insert,
            "page anywhere": lambda: page(self._reader, TrajectoryFilter(), after=self._draw.randrange(self._rows)),
            "page anywhere under a filter": lambda: page(
                self._reader, FILTERS["one filter"], after=self._draw.randrange(self._rows * 9 // 10)
            ),
            "monitor": lambda: read_snapshot(self._reader, self._workspace),
            "status": lambda: collect_status(self._workspace),
        }
        for name, wanted in FILTERS.items():
            found[f"first page of {name}"] = lambda wanted=wanted: page(self._reader, wanted)  # type: ignore[misc]
        for name, text in SEARCHES.items():
            wanted = TrajectoryFilter(search=text, task="logiqa" if "filter" in name else None)
            found[f"first page of a search, {name}"] = lambda wanted=wanted: page(self._reader, wanted)  # type: ignore[misc]
        return found

    def rest(self) -> None:
        """Finish all work of the last transaction, so that none of it falls into the next measurement."""
        checkpoint(self._writer)

    def _insert(self) -> None:
        with write(self._writer):
            for _ in range(GROUP):
                self._sample += 1
                question = self._draw.choice(self._questions)
                first = NewAttempt(self._made(60), question, 1, None, "3", "incorrect", "", 0.0)
                attempt = attempts.insert_attempt(self._writer, first)
                told = NewReflection(self._made(90), attempt, "1-3-2", "")
                reflection = attempts.insert_reflection(self._writer, told)
                again = NewAttempt(self._made(60), question, 2, reflection, "4", "correct", "", 1.0)
                correction = attempts.insert_attempt(self._writer, again)
                attempts.finish_trajectory(self._writer, attempt, reflection, correction)

    def _made(self, words: int) -> NewGeneration:
        text = " ".join(self._draw.choices(_WORDS, k=words))
        return NewGeneration(
            self._iteration, self._policy, "", self._sample, text, 180, words, "stop", 7, "1", "0" * 64, 0.4, None
        )


def measure() -> list[Row]:
    """Return two rows for each operation: middle against small store, large against middle store."""
    middle = int(os.environ.get("REFLECTEVO_BENCH_GROWTH", MIDDLE))
    sizes = (middle // TIMES, middle, middle * TIMES)
    with kept_stores() as directory, ExitStack() as stack:
        stores = [_Store(demo_store(directory, rows), rows, stack) for rows in sizes]
        medians = [_medians(stores, name) for name in stores[0].works()]
    names = list(stores[0].works())
    return [
        Row(
            f"{name}, {larger:,} / {smaller:,}",
            f"{1000 * median[step + 1]:.2f} ms",
            f"{1000 * median[step]:.2f} ms",
            median[step + 1] / median[step],
            MOST,
            False,
        )
        for name, median in zip(names, medians, strict=True)
        for step, (smaller, larger) in enumerate(pairwise(sizes))
    ]


def _medians(stores: list[_Store], name: str) -> list[float]:
    times: list[list[float]] = [[] for _ in stores]
    works = [one.works()[name] for one in stores]
    for turn in range(TURNS + 2):
        for store, work, taken in zip(stores, works, times, strict=True):
            started = time.perf_counter()
            work()
            # The first two turns fill the page cache.
            if turn > 1:
                taken.append(time.perf_counter() - started)
            if name.startswith("insert"):
                store.rest()
    return [statistics.median(taken) for taken in times]
