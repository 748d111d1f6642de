"""Watches one sandbox from outside and kills it if it exceeds a limit.

Enforces the limits that can only be enforced from outside: wall-clock time, amount of output, number of threads and of
files. Independent of the program inside and the content of its report.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from engine.tasks.sandbox.records import Limits, SandboxUnavailable, State

MOST_THREADS = 64
MOST_FILES = 4096
"""Maximum number of files in /tmp; each takes kernel memory that no limit of the process includes."""

_LOOK_EVERY = 0.02
_LONGEST_END = 10.0
_CHUNK = 64 * 2**10


@contextlib.contextmanager
def _watchable() -> Iterator[None]:
    """Turn a PermissionError into SandboxUnavailable: limits can't be enforced on a process that can't be inspected."""
    try:
        yield
    except PermissionError as error:
        raise SandboxUnavailable(f"the sandboxed process can't be watched: {error}") from error


@dataclass(frozen=True, slots=True)
class Ended:
    """How a watched process ended."""

    state: State
    reason: str
    exit_code: int
    seconds: float
    stdout: bytes
    stderr: bytes
    result: bytes


class Watch:
    """One running sandbox.

    Args:
        process: the started process, with unbuffered pipes for its output.
        limits: the limits to enforce.
        child_told: whether the program is a child of `process`, whose id is reported on `status`.
        result: the pipe of the program's report.
        status: the pipe on which bubblewrap reports the program's id.
        most_result: maximum size of the report in bytes.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        limits: Limits,
        *,
        child_told: bool,
        result: FileIO,
        status: FileIO,
        most_result: int,
    ) -> None:
        assert process.stdout is not None and process.stderr is not None
        self._process = process
        self._limits = limits
        self._child_told = child_told
        self._started = time.monotonic()
        self._stdout, self._stderr, self._result, self._status = bytearray(), bytearray(), bytearray(), bytearray()
        self._most_result = most_result
        self._why: tuple[State, str] | None = None
        self._ended_at = math.inf
        self._child: int | None = None if child_told else process.pid
        self._stack = contextlib.ExitStack()
        self._selector = self._stack.enter_context(selectors.DefaultSelector())
        self._outer = self._pidfd(process.pid)
        self._inner: int | None = None
        for pipe, into in (
            (process.stdout, self._stdout),
            (process.stderr, self._stderr),
            (result, self._result),
            (status, self._status),
        ):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe.fileno(), selectors.EVENT_READ, into)
        self._selector.register(self._outer, selectors.EVENT_READ, None)

    def until_end(self) -> Ended:
        """Block until the process has exited or was killed. Raises SandboxUnavailable if it can't be killed."""
        with self._stack:
            over = False
            try:
                while not over:
                    over = self._step()
            finally:
                if not over:
                    self.end("killed", "the watch ended unexpectedly")
            self._drain()
            _, status, usage = os.wait4(self._process.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        if self._child_told and code > 128:
            code = 128 - code
        if self._why is None and self._too_much():
            self._why = ("output", f"more output than {self._limits.output_bytes} bytes")
        state, reason = self._why or self._by_itself(code, usage.ru_utime + usage.ru_stime)
        seconds = time.monotonic() - self._started
        return Ended(state, reason, code, seconds, bytes(self._stdout), bytes(self._stderr), bytes(self._result))

    def end(self, state: State, reason: str) -> None:
        """Kill the process; the reason of the first call is kept."""
        if self._why is None:
            self._why = (state, reason)
            self._ended_at = time.monotonic()
        for target in (self._inner, self._outer):
            if target is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(target, signal.SIGKILL)

    def _step(self) -> bool:
        """Wait for the next event; return true once the process has ended."""
        now = time.monotonic()
        left = self._started + self._limits.wall_seconds - now
        gone = False
        for key, _ in self._selector.select(max(0.0, min(left, _LOOK_EVERY)) if self._why is None else 1.0):
            if key.data is None:
                gone = True
            elif not self._read(key.fd, key.data):
                self._selector.unregister(key.fd)
        if self._too_much():
            self.end("output", f"more output than {self._limits.output_bytes} bytes")
        if gone:
            return True
        if self._why is not None and now - self._ended_at > _LONGEST_END:
            raise SandboxUnavailable(f"the sandboxed process {self._process.pid} doesn't end when killed")
        if left <= 0:
            self.end("time", f"not finished after {self._limits.wall_seconds:g} s")
        self._look()
        return False

    def _too_much(self) -> bool:
        printed = len(self._stdout) + len(self._stderr)
        return printed > self._limits.output_bytes or len(self._result) > self._most_result

    def _read(self, descriptor: int, into: bytearray) -> bool:
        """Read the available bytes; return false at the end of the pipe. Bytes beyond the limits are discarded."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return True
        if len(into) <= max(self._limits.output_bytes, self._most_result):
            into += data
        return bool(data)

    def _drain(self) -> None:
        """Read what was written before the end, without blocking: a process forked elsewhere may keep a pipe open."""
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                size = -1
                while size != len(key.data):
                    size = len(key.data)
                    self._read(key.fd, key.data)

    def _look(self) -> None:
        """Count threads and files, and kill a program that creates too many."""
        if self._why is not None or not self._result:
            return
        if self._child is None and not self._find_child():
            return
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), _watchable():
            threads = sum(1 for _ in Path(f"/proc/{self._child}/task").iterdir())
            if threads > MOST_THREADS:
                self.end("killed", f"more than {MOST_THREADS} threads")
            if self._child_told:
                room = os.statvfs(f"/proc/{self._child}/root/tmp")
                if room.f_files - room.f_ffree > MOST_FILES:
                    self.end("killed", f"more than {MOST_FILES} files")

    def _find_child(self) -> bool:
        """Read the reported id of the program and open a file descriptor for its process."""
        if b"}" not in self._status:
            return False
        child = int(json.loads(bytes(self._status))["child-pid"])
        ours = f"\nPPid:\t{self._process.pid}\n"
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            inner = self._pidfd(child)
            # The id may have been reused by another process since; the parent id identifies ours.
            if ours in Path(f"/proc/{child}/status").read_text():
                self._child, self._inner = child, inner
        return self._child is not None

    def _pidfd(self, pid: int) -> int:
        descriptor = os.pidfd_open(pid)
        self._stack.callback(os.close, descriptor)
        return descriptor

    def _by_itself(self, code: int, cpu_seconds: float) -> tuple[State, str]:
        """Return why a process ended that was not killed from here."""
        allowed = math.ceil(self._limits.cpu_seconds)
        # The kernel checks this limit at clock ticks but reports the time really used, less on a busy machine.
        if code == -signal.SIGKILL and cpu_seconds > allowed / 2:
            return "time", f"more than {allowed} s of processor time"
        if code < 0:
            number = -code
            name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
            return "killed", f"ended by {name}"
        return "finished", ""
