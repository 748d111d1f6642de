"""The workspace lock: at most one engine per workspace; the kernel releases it however the engine ends.

It is a POSIX record lock (`fcntl.lockf`), not `flock`: a forked child would keep an flock after its parent was killed.
A record lock belongs to one process, but closing any descriptor of the file releases it, so the lock file must never
be opened and closed a second time in the engine's own process.
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
        """Acquire the lock and write this process's details into the lock file.

        Raises:
            WorkspaceHeld: another engine holds it; the message names that engine.
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
        # On a full disk the lock is held without these details; a takeover then refuses.
        with suppress(OSError):
            os.pwrite(descriptor, describe_myself(), 0)
            os.ftruncate(descriptor, NOTE_BYTES)
            os.fsync(descriptor)
        self._descriptor = descriptor

    def note(self, trouble: str) -> None:
        """Record why the database can't be written, or an empty text once it can be written again.

        The bytes are already allocated, so this also works on a full disk; if the disk rejects all writes, the reason
        is only in the log.
        """
        if self._descriptor is not None:
            with suppress(OSError):
                os.pwrite(self._descriptor, describe_myself(trouble), 0)

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _describe(written: str, owner: int | None) -> str:
    """Describe the lock's holder; the pid comes from the kernel, as the file may be that of an earlier engine."""
    if owner is None:
        return "it has just ended; try again"
    try:
        said = json.loads(written)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(said["started"]))
        known = said["pid"] == owner
    except (ValueError, KeyError, TypeError):
        known = False
    return f"pid {owner}, since {since}" if known else f"pid {owner}"
