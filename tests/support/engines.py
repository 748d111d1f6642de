"""Runs real engines in temporary workspaces: start, send directives, wait, kill. Real processes, pipes and SQLite."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from engine.commands.init import init_workspace
from engine.supervisor.child_processes import tagged_processes
from reflectevo_tui.engine_client.directives import issue_and_wait
from reflectevo_tui.engine_client.launch import start_or_continue
from reflectevo_tui.engine_client.process import start_engine
from reflectevo_tui.engine_client.status import collect_status
from store.control.liveness import lock_owner
from store.database.connection import open_reader
from store.errors import StoreError
from store.workspace import Workspace
from tests.support.waiting import cpu_seconds, wait_until

SCRIPTED = """
name = "scripted"
model = "none"
seed = 3
{top}

[[tasks]]
kind = "procedural"
name = "letter_counting"
dataset = "letter_counting"
options = {{ min_words = 3, max_words = 5 }}
train = {train}
test = {test}
few_shot = 1

[generation]
generator = "scripted"
concurrency = 8

[reflection]
instructions = "random:2"
samples = 2

[training]
batch_size = 2
checkpoint_steps = 2
{sections}
"""


def _small_run(sections: str) -> str:
    """Return the end of the [training] table and the sections after it, for a run that is too small for the defaults.

    It trains on few examples and has too few held-out questions to tell anything, so that its child is promoted unless
    a loss is shown.
    """
    training = "" if "min_examples" in sections else "min_examples = 1\n"
    if "undecided" in sections:
        return training + sections
    if "[evaluation]" in sections:
        return training + sections.replace("[evaluation]", '[evaluation]\nundecided = "promote"')
    return f'{training}{sections}\n[evaluation]\nundecided = "promote"\n'


def scripted_settings(top: str = "", sections: str = "", train: int = 24, test: int = 10) -> str:
    """Return the settings of a run that needs no model; `top` is inserted above the tables, `sections` below."""
    return SCRIPTED.format(top=top, sections=_small_run(sections), train=train, test=test)


class EngineHarness:
    """One workspace and the engine that runs in it, if any."""

    def __init__(self, root: Path, settings: str) -> None:
        self.workspace = Workspace(root / "workspace")
        file = root / "settings.toml"
        file.write_text(settings, encoding="utf-8")
        init_workspace(self.workspace, "demo-cpu", file, replace=True)

    def start(self, delay: float = 0.0) -> int:
        """Start the engine; `delay` is the duration of each scripted text and training step, in seconds."""
        os.environ["REFLECTEVO_SCRIPTED_DELAY"] = str(delay)
        try:
            return start_engine(self.workspace).pid
        finally:
            del os.environ["REFLECTEVO_SCRIPTED_DELAY"]

    def run(self, settings: Path | None = None) -> str:
        """Start the run of a settings file, continue it, or start its next iteration."""
        return start_or_continue(self.workspace, settings)

    def issue(self, kind: str, **arguments: object) -> str:
        """Issue a directive and wait for its outcome."""
        return issue_and_wait(self.workspace, kind, arguments, start=False)

    def status(self) -> dict[str, Any]:
        """Return the output of `reflectevo status --json`."""
        return collect_status(self.workspace)

    def stage(self, name: str) -> Mapping[str, Any]:
        """Return the status of one stage; empty before the first iteration."""
        iteration = self.status()["iteration"]
        return next((stage for stage in iteration["stages"] if stage["name"] == name), {}) if iteration else {}

    def wait(self, condition: Callable[[], object], every: float = 0.02) -> None:
        """Wait until a condition holds; fails when the run makes no progress."""
        wait_until(condition, self.progress, lambda: json.dumps(self.status(), default=str), every)

    def progress(self) -> object:
        """Return a value that changes whenever the run progresses: rows, states, logs, and CPU time of the worker
        processes.

        Heartbeats are excluded, because they only show that a process is alive; so is the CPU time of the supervisor,
        which polls for work ten times a second.
        """
        try:
            rows = self.rows(_PROGRESS)
        except (sqlite3.Error, StoreError):
            rows = []
        logs = [(path.name, path.stat().st_size) for path in sorted(self.workspace.logs.glob("**/*.log"))]
        children = tagged_processes(self.workspace)
        return self.engine_pid(), rows, logs, cpu_seconds(children, 5.0)

    def wait_state(self, state: str) -> dict[str, Any]:
        """Wait until the current iteration is in a state; returns the status."""

        def reached() -> bool:
            iteration = self.status()["iteration"]
            return iteration is not None and iteration["state"] == state

        self.wait(reached)
        return self.status()

    def engine_pid(self) -> int | None:
        """Return the pid of the engine, None when none runs."""
        return lock_owner(self.workspace.lock_file)

    def kill(self) -> None:
        """Send SIGKILL to the engine and wait until the kernel has released its lock."""
        pid = self.engine_pid()
        assert pid is not None, "no engine to kill"
        os.kill(pid, signal.SIGKILL)
        self.wait(lambda: self.engine_pid() is None)
        _reap(pid)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows of the workspace's database."""
        with closing(open_reader(self.workspace.database)) as connection:
            return [tuple(row) for row in connection.execute(query)]

    def shut_down(self) -> None:
        """End the engine if one runs: gracefully, and by force when that takes too long."""
        pid = self.engine_pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        with suppress(AssertionError):
            self.wait(lambda: self.engine_pid() is None)
        if self.engine_pid() is not None:
            self.kill()
        _reap(pid)


def _reap(pid: int) -> None:
    """Collect the exit status of an engine this test process started."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return


_PROGRESS = """
SELECT (SELECT count(*) FROM attempts), (SELECT count(*) FROM reflections), (SELECT count(*) FROM events),
    (SELECT count(*) FROM metrics), (SELECT count(*) FROM evaluations), (SELECT count(*) FROM directives),
    (SELECT count(done) FROM directives), (SELECT group_concat(state) FROM policies),
    (SELECT group_concat(state) FROM iterations), (SELECT group_concat(state || done) FROM stages)
"""

WORK = """
SELECT q.content_hash, a.protocol, a.turn, coalesce(r.instruction, ''), coalesce(r.sample, 0), a.sample, a.reasoning
FROM attempts a JOIN questions q ON q.id = a.question_id LEFT JOIN reflections r ON r.id = a.reflection_id
ORDER BY 1, 2, 3, 4, 5, 6
"""
"""Every attempt by its content key, with its text."""

REFLECTED = """
SELECT q.content_hash, r.protocol, r.instruction, r.sample, r.text
FROM reflections r JOIN attempts a ON a.id = r.attempt_id JOIN questions q ON q.id = a.question_id
ORDER BY 1, 2, 3, 4
"""
"""Every reflection by its content key, with its text."""
