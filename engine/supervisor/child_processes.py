"""The supervisor's side of its children: start, command, stop with escalation, and plan what is left over.

Every process of ours carries a tag in its environment. Only tagged processes are ever ended.
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

from engine.stages.job import TAG, Job
from engine.supervisor.child_environment import child_environment
from store.workspace import Workspace, private_opener

TERM_AFTER = 30.0
"""Seconds a stopping child may take to finish what is in hand before SIGTERM."""

KILL_AFTER = 60.0
"""Seconds before SIGKILL."""

HUNG_TERM_AFTER, HUNG_KILL_AFTER = 5.0, 10.0
"""The same for a child that makes no progress anyway."""


@dataclass(slots=True)
class Child:
    """A running child."""

    job: Job
    process: subprocess.Popen[bytes]
    report: int
    started: float
    stop_asked: float | None = None
    paused: bool = False
    hung: bool = False
    """True once it was asked to stop because it made no progress."""
    _received: bytes = field(default=b"")
    _terminated: bool = False

    @property
    def pid(self) -> int:
        """Its process id, which is also its session."""
        return self.process.pid

    def command(self, word: str) -> None:
        """Say a word on its standard input; a child that is gone hears nothing."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{word}\n".encode())
            self.process.stdin.flush()

    def set_paused(self, paused: bool) -> None:
        """Pause or resume it; saying it twice changes nothing."""
        if paused != self.paused:
            self.command("pause" if paused else "resume")
            self.paused = paused

    def ask_stop(self) -> None:
        """Ask it to finish what is in hand and leave."""
        if self.stop_asked is None:
            self.stop_asked = time.monotonic()
            self.command("stop")

    def end_hung(self) -> None:
        """Ask it to leave because it makes no progress; it isn't given long."""
        self.hung = True
        self.ask_stop()

    def escalate(self) -> None:
        """Press a child that was asked to stop and doesn't."""
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
        """Its exit code, or None while it lives."""
        return self.process.poll()

    def failure(self) -> str | None:
        """The message it reported, if any."""
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
        """Let go of its pipes."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        os.close(self.report)


def tag_of(workspace: Workspace) -> str:
    """The tag of a workspace's processes."""
    return str(workspace.root)


def start_child(workspace: Workspace, job: Job, secrets: frozenset[str] = frozenset()) -> Child:
    """Start a child for an job in a session of its own, with its output in a log only the owner reads.

    Of the secrets in the environment it inherits only those named in `secrets`. Raises OSError.
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
    """Pids that carry the workspace's tag, without this process and its ancestors."""
    wanted = f"{TAG}={tag_of(workspace)}".encode()
    spared = {os.getpid(), os.getppid()}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in spared:
            continue
        # A process may end, or belong to another user, while we look.
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def end_orphans(workspace: Workspace, seconds: float = 5.0) -> int:
    """End what a former engine or an ended child of this workspace left behind; returns how many.

    Goes through pidfds: a pid that was reused meanwhile is never hit.
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
