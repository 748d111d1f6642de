"""Simulated busy engine for measuring the terminal: a hundred trajectories a second, with all other rows that an
engine writes.

    python -m tests.bench.busy_engine WORKSPACE [--rest]

Continues the newest run of a synthetic workspace in an iteration of its own, through the same functions of the
store as the engine, and holds the workspace's lock, so that the terminal treats it as an engine. With --rest it only
sends heartbeats, like an engine that waits at a gate. Runs until it is terminated.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sqlite3
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random

from store.control import telemetry
from store.database.connection import open_writer, write
from store.records import LiveText
from store.rollouts import attempts
from store.rollouts.attempts import NewAttempt, NewGeneration, NewReflection
from store.runs import iterations, runs
from store.runs.policies import list_policies
from store.settings import STAGES
from store.workspace import Workspace

ROWS_PER_SECOND = 100
_TURNS_PER_SECOND = 10
_WORDS = "the sign of the second term was dropped so count every letter again before the total is written down".split()
_STAGES_AT_WORK = STAGES[:3]


class BusyEngine:
    """Writes to a workspace like an engine in the middle of its rollouts."""

    def __init__(self, workspace: Workspace, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._workspace = workspace
        self._draw = Random(1)
        self._began = time.time()
        self._run = runs.list_runs(connection)[-1].id
        self._policy = list_policies(connection, self._run)[0].id
        # Close what an earlier simulated engine left open.
        for former in iterations.list_iterations(connection, self._run):
            if former.state != "done":
                iterations.update_iteration(connection, former.id, state="done")
        settings = iterations.list_iterations(connection, self._run)[0].settings
        self._questions = [one.id for one in runs.run_questions(connection, self._run, "train")[:5000]]
        with write(connection):
            self._iteration = iterations.add_iteration(connection, self._run, self._policy, settings, 0)

    def work(self) -> None:
        """Write trajectories until the process is terminated."""
        for stage in _STAGES_AT_WORK:
            iterations.set_stage(self._connection, self._iteration, stage, "running")
        due = time.monotonic()
        for turn in count():
            with write(self._connection):
                for n in range(ROWS_PER_SECOND // _TURNS_PER_SECOND):
                    self._trajectory(turn * ROWS_PER_SECOND // _TURNS_PER_SECOND + n)
            if turn % (_TURNS_PER_SECOND // 2) == 0:
                self._broadcast(turn)
            due += 1 / _TURNS_PER_SECOND
            time.sleep(max(due - time.monotonic(), 0))

    def rest(self) -> None:
        """Wait at a gate until the process is terminated."""
        for stage in _STAGES_AT_WORK:
            iterations.set_stage(self._connection, self._iteration, stage, "running")
            iterations.set_progress(self._connection, self._iteration, stage, 1000, 1000)
            iterations.set_stage(self._connection, self._iteration, stage, "done")
        iterations.set_stage(self._connection, self._iteration, "curate", "waiting")
        reason = "gate curate: would filter 1000 trajectories"
        iterations.update_iteration(self._connection, self._iteration, state="waiting", reason=reason)
        while True:
            self._beat("idle")
            time.sleep(1.0)

    def _words(self, n: int) -> str:
        return " ".join(self._draw.choices(_WORDS, k=n))

    def _made(self, text: str, sample: int = 0) -> NewGeneration:
        return NewGeneration(
            self._iteration, self._policy, "", sample, text, 180, len(text.split()), "stop", 7, "1", "0" * 64, 0.4, None
        )

    def _trajectory(self, n: int) -> None:
        """Write one trajectory with attempt, reflection and correction; a question gets as many as it takes."""
        question = self._questions[n % len(self._questions)]
        first = NewAttempt(self._made(self._words(60)), question, 1, None, "3", "incorrect", "", 0.0)
        attempt = attempts.insert_attempt(self._connection, first)
        key = f"1-{n % 8 + 1}-2"
        words = self._made(self._words(40), n // len(self._questions))
        reflection = attempts.insert_reflection(self._connection, NewReflection(words, attempt, key, ""))
        verdict = "correct" if n % 4 == 0 else "incorrect"
        again = NewAttempt(self._made(self._words(60)), question, 2, reflection, "4", verdict, "", float(n % 4 == 0))
        attempts.finish_trajectory(
            self._connection, attempt, reflection, attempts.insert_attempt(self._connection, again)
        )

    def _broadcast(self, turn: int) -> None:
        """Write the live status that the rollout process publishes twice a second."""
        done = turn * ROWS_PER_SECOND // _TURNS_PER_SECOND
        now = time.time()
        with write(self._connection):
            for stage in _STAGES_AT_WORK:
                iterations.set_progress(self._connection, self._iteration, stage, done, 500_000)
            telemetry.put_live_text(self._connection, self._growing(turn // (_TURNS_PER_SECOND // 2), now))
            gauges = {
                "tokens_per_s": 11_800.0 + self._draw.randrange(400),
                "in_flight": 60 + self._draw.randrange(5),
                "queued": 3464,
                "prefix_cache_hit": 0.7 + self._draw.random() / 10,
                "generator": "scripted",
                "policy": "p00",
            }
            telemetry.beat(self._connection, "rollout", os.getpid(), self._began, "generating", gauges)
            if turn % (5 * _TURNS_PER_SECOND) == 0:
                rates: dict[str, float | None] = {"tokens_per_s": float(gauges["tokens_per_s"])}
                telemetry.add_metrics(self._connection, self._iteration, "attempt", turn, rates)
        if turn % _TURNS_PER_SECOND == 0:
            self._beat("working")

    def _growing(self, update: int, now: float) -> list[LiveText]:
        """Return two texts that grow by 25 words at each call and are then replaced by others."""
        texts = []
        for slot, role in enumerate(("reflection", "correction")):
            number, grown = divmod(update + 3 * slot, 6)
            words = Random(number).choices(_WORDS, k=25 * (grown + 1))
            texts.append(LiveText(slot, role, 4913 + number, "math", "1-3-2", " ".join(words), now))
        return texts

    def _beat(self, state: str) -> None:
        detail = {
            "cpu_percent": 61.0 + self._draw.randrange(8),
            "memory_used": (7 << 30) + self._draw.randrange(1 << 28),
            "memory_total": 16 << 30,
            "disk_free": 120 << 30,
        }
        if state == "idle":
            detail |= {"cpu_percent": 1.0 + self._draw.randrange(3)}
        telemetry.beat(self._connection, "engine", os.getpid(), self._began, state, detail)


def main() -> None:
    """Hold the workspace's lock and write."""
    parser = argparse.ArgumentParser(description="stands in for an engine at work")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--rest", action="store_true", help="only give signs of life")
    chosen = parser.parse_args()
    workspace = Workspace(chosen.workspace)
    with workspace.lock_file.open("w") as lock, closing(open_writer(workspace.database)) as connection:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        engine = BusyEngine(workspace, connection)
        print("ready", flush=True)
        if chosen.rest:
            engine.rest()
        else:
            engine.work()


if __name__ == "__main__":
    main()
