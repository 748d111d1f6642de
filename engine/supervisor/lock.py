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
from contextlib import suppress
from pathlib import Path

from engine.errors import WorkspaceHeld
from store.control.liveness import owner_of
from store.control.lock_file import NOTE_BYTES, describe_myself


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
            written, owner = os.pread(descriptor, NOTE_BYTES, 0).decode("utf-8", "replace"), owner_of(descriptor)
            os.close(descriptor)
            raise WorkspaceHeld(
                f"{self._path.parent} is held by another engine ({_describe(written, owner)})"
            ) from error
        # On a full disk the lock is held all the same, only unsigned: a takeover then refuses.
        with suppress(OSError):
            os.pwrite(descriptor, describe_myself(), 0)
            os.ftruncate(descriptor, NOTE_BYTES)
            os.fsync(descriptor)
        self._descriptor = descriptor

    def note(self, trouble: str) -> None:
        """Write down why the database can't be written, or that it can again (empty). The bytes are there already,
        so that a full disk takes them too; a disk that takes nothing is named in the log alone."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.pwrite(self._descriptor, describe_myself(trouble), 0)

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _describe(written: str, owner: int | None) -> str:
    """Who holds the lock: the kernel knows the pid, the file may still be that of an earlier engine."""
    if owner is None:
        return "it has just ended; try again"
    try:
        said = json.loads(written)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(said["started"]))
        known = said["pid"] == owner
    except (ValueError, KeyError, TypeError):
        known = False
    return f"pid {owner}, since {since}" if known else f"pid {owner}"
