"""The workspace lock: one engine at a time, released by the kernel however the engine ends.

POSIX record locks (`fcntl.lockf`), not `flock`: a forked child keeps an flock alive after its parent was
killed. A record lock belongs to the process alone, so the lock file must never be opened and closed a second
time in the engine's own process.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path

from engine.errors import WorkspaceHeld


def boot_id() -> str:
    """Identity of this boot of the machine: a pid means something only together with it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class WorkspaceLock:
    """Holds the lock of a workspace from `acquire` until the process ends or `release`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock and write down who has it.

        Raises:
            WorkspaceHeld: naming the engine that holds it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 4096, 0).decode("utf-8", "replace")
            os.close(descriptor)
            raise WorkspaceHeld(f"{self._path.parent} is held by another engine ({_describe(holder)})") from error
        owner = {"pid": os.getpid(), "started": time.time(), "boot": boot_id()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner).encode(), 0)
        os.fsync(descriptor)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _describe(holder: str) -> str:
    try:
        owner = json.loads(holder)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["started"]))
        return f"pid {owner['pid']}, since {since}"
    except (ValueError, KeyError, TypeError):
        return "it has not said its pid yet"
