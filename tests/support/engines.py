"""Runs real engines in temporary workspaces: start, order, wait, kill. No mocks: processes, pipes and SQLite."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.commands.init import init_workspace
from reflectevo_tui.engine_client.directives import issue_and_wait, start_or_continue
from reflectevo_tui.engine_client.process import start_engine
from reflectevo_tui.engine_client.status import collect_status
from store.control.liveness import lock_owner
from store.database.connection import open_reader
from store.workspace import Workspace

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


def scripted_settings(top: str = "", sections: str = "", train: int = 24, test: int = 10) -> str:
    """Settings of a run that needs no model; `top` goes above the tables, `sections` below."""
    return SCRIPTED.format(top=top, sections=sections, train=train, test=test)


class EngineHarness:
    """One workspace and whichever engine runs in it."""

    def __init__(self, root: Path, settings: str) -> None:
        self.workspace = Workspace(root / "workspace")
        file = root / "settings.toml"
        file.write_text(settings, encoding="utf-8")
        init_workspace(self.workspace, "demo-cpu", file, replace=True)

    def start(self, delay: float = 0.0) -> int:
        """Start the engine; `delay` is how long each scripted text and training step takes, in seconds."""
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
        """What `reflectevo status --json` says."""
        return collect_status(self.workspace)

    def stage(self, name: str) -> Mapping[str, Any]:
        """Status of one stage; empty before the first iteration."""
        iteration = self.status()["iteration"]
        return next((stage for stage in iteration["stages"] if stage["name"] == name), {}) if iteration else {}

    def wait(self, condition: Callable[[], object], seconds: float = 60.0, every: float = 0.02) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not reached in {seconds} s: {self.status()}")
            time.sleep(every)

    def wait_state(self, state: str, seconds: float = 90.0) -> dict[str, Any]:
        """Wait until the current iteration is in a state; returns the status."""

        def reached() -> bool:
            iteration = self.status()["iteration"]
            return iteration is not None and iteration["state"] == state

        self.wait(reached, seconds)
        return self.status()

    def engine_pid(self) -> int | None:
        """Pid of the engine, None when none runs."""
        return lock_owner(self.workspace.lock_file)

    def kill(self) -> None:
        """SIGKILL the engine and wait until the kernel has let its lock go."""
        pid = self.engine_pid()
        assert pid is not None, "no engine to kill"
        os.kill(pid, signal.SIGKILL)
        self.wait(lambda: self.engine_pid() is None, 10)
        _reap(pid)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the workspace's database."""
        with closing(open_reader(self.workspace.database)) as connection:
            return [tuple(row) for row in connection.execute(query)]

    def shut_down(self) -> None:
        """End the engine if one runs: in order, and by force when that takes too long."""
        pid = self.engine_pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 15
        while self.engine_pid() is not None and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.engine_pid() is not None:
            self.kill()
        _reap(pid)


def _reap(pid: int) -> None:
    """Collect the exit status of an engine this test process started."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return


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
