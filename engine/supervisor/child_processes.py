"""Starts worker processes, sends them commands, stops them with escalating signals, and ends orphaned ones.

Every process of the engine carries a tag in its environment. Only tagged processes are ever ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from engine.stages.job import TAG, ChildCommand, Job
from engine.supervisor.child_environment import child_environment
from store.workspace import Workspace, private_opener

TERM_AFTER = 30.0
"""Seconds a stopping worker has to finish its current work before it gets SIGTERM."""

KILL_AFTER = 60.0
"""Seconds after the stop request before it gets SIGKILL."""

HUNG_TERM_AFTER, HUNG_KILL_AFTER = 5.0, 10.0
"""The same two limits for a worker that makes no progress."""


@dataclass(slots=True)
class Child:
    """A running worker process and the pipes to it."""

    job: Job
    process: subprocess.Popen[bytes]
    report: int
    started: float
    stop_asked: float | None = None
    paused: bool = False
    hung: bool = False
    """True once a stop was requested because it made no progress."""
    _received: bytes = field(default=b"")
    _terminated: bool = False

    @property
    def pid(self) -> int:
        """The process id, which is also the session id."""
        return self.process.pid

    def command(self, word: ChildCommand) -> None:
        """Write a command to its standard input; ignored if the process has already exited."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{word}\n".encode())
            self.process.stdin.flush()

    def set_paused(self, paused: bool) -> None:
        """Pause or resume it; idempotent."""
        if paused != self.paused:
            self.command("pause" if paused else "resume")
            self.paused = paused

    def ask_stop(self) -> None:
        """Request that it finish its current work and exit."""
        if self.stop_asked is None:
            self.stop_asked = time.monotonic()
            self.command("stop")

    def end_hung(self) -> None:
        """Request that it exit because it makes no progress; the shorter limits apply."""
        self.hung = True
        self.ask_stop()

    def escalate(self) -> None:
        """Send SIGTERM, later SIGKILL, to a worker that hasn't exited in time after a stop request."""
        if self.stop_asked is None or self.process.poll() is not None:
            return
        waited = time.monotonic() - self.stop_asked
        term_after, kill_after = (HUNG_TERM_AFTER, HUNG_KILL_AFTER) if self.hung else (TERM_AFTER, KILL_AFTER)
        if waited > kill_after:
            self.process.kill()
        elif waited > term_after and not self._terminated:
            self._terminated = True
            self.process.terminate()

    def exit_code(self) -> int | None:
        """Return the exit code, or None while it is running."""
        return self.process.poll()

    def failure(self) -> str | None:
        """Return the error message that it reported, if any."""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self.report, 65536):
                self._received += piece
        for line in self._received.decode("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError):
                message = json.loads(line).get("failed")
                if message:
                    return str(message)
        return None

    def close(self) -> None:
        """Close the pipes."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        os.close(self.report)


def tag_of(workspace: Workspace) -> str:
    """Return the tag that a workspace's processes carry."""
    return str(workspace.root)


def start_child(workspace: Workspace, job: Job, secrets: frozenset[str] = frozenset()) -> Child:
    """Start a worker process for a job, in its own session, with its output in a log that only the owner can read.

    Args:
        workspace: the workspace to work on.
        job: what the worker does.
        secrets: names of the environment variables with secrets that it inherits; it inherits no others.

    Raises:
        OSError: the process can't be started.
    """
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    environment = {
        **child_environment(os.environ, secrets),
        TAG: tag_of(workspace),
        "SPT_NOENV": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": os.environ.get("TRANSFORMERS_VERBOSITY", "error"),
    }
    command = [
        *(sys.executable, "-P", "-m", "engine", "child", "-w", str(workspace.root)),
        *("--job", job.dump(), "--parent", str(os.getpid()), "--report-fd", str(writable)),
    ]
    with open(workspace.child_log(job.slot), "ab", opener=private_opener) as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(writable,),
            start_new_session=True,
            cwd="/",
            env=environment,
        )
    os.close(writable)
    return Child(job, process, readable, time.monotonic())


def tagged_processes(workspace: Workspace) -> list[int]:
    """Return the pids of processes with the workspace's tag, except this process and its parent."""
    wanted = f"{TAG}={tag_of(workspace)}".encode()
    spared = {os.getpid(), os.getppid()}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in spared:
            continue
        # A process may have exited by now, or belong to another user.
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def end_orphans(workspace: Workspace, seconds: float = 5.0) -> int:
    """End processes that an earlier engine or an ended worker of this workspace left behind; returns their number.

    Signals are sent through pidfds, so a pid that was reused in the meantime is never hit. Gives up after `seconds`.
    """
    ended = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        left = tagged_processes(workspace)
        if not left:
            break
        for pid in left:
            with contextlib.suppress(OSError):
                descriptor = os.pidfd_open(pid)
                try:
                    if pid in tagged_processes(workspace):
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                        ended += 1
                finally:
                    os.close(descriptor)
        time.sleep(0.05)
    return ended
