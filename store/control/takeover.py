"""Ends an engine that holds a workspace and no longer responds, and only that process.

Whether to end it, and what follows, is decided by the caller.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from store.control.liveness import lock_owner
from store.control.lock_file import process_state, verified_holder
from store.errors import TakeoverRefused


def end_holder(lock_file: Path, seconds: float = 10.0) -> str:
    """End the engine that holds a lock, and wait until the lock is free.

    The process is signalled through a pidfd, and only if the kernel reports it as the owner of the lock and its start
    time and boot match the lock file, so no other process can be hit. SIGTERM is sent first, SIGKILL after half the
    time.

    Args:
        lock_file: the lock file of the workspace.
        seconds: how long to wait in total.

    Returns:
        How it ended, as a message.

    Raises:
        TakeoverRefused: nobody holds the lock, the process can't be verified as the engine, or it doesn't end.
    """
    owner = lock_owner(lock_file)
    if owner is None:
        raise TakeoverRefused("no engine holds the workspace; there is nothing to take over")
    if owner <= 0:
        raise TakeoverRefused("the engine runs where its process is not visible (another container); end it there")
    try:
        descriptor = os.pidfd_open(owner)
    except OSError as error:
        raise TakeoverRefused(f"process {owner} can't be reached ({error.strerror})") from error
    try:
        if lock_owner(lock_file) != owner or verified_holder(lock_file, owner) is None:
            raise TakeoverRefused(
                f"process {owner} holds the lock, but could not be verified as this workspace's "
                "engine and was not ended. Check it, and end it yourself if it is"
            )
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            deadline = time.monotonic() + seconds / 2
            while time.monotonic() < deadline:
                if lock_owner(lock_file) != owner:
                    return f"process {owner} was ended by {number.name}"
                time.sleep(0.02)
    except PermissionError as error:
        raise TakeoverRefused(f"process {owner} belongs to another user; ask its owner to end it") from error
    finally:
        os.close(descriptor)
    waits = " (it is waiting for a disk or device that does not respond)" if process_state(owner) == "D" else ""
    raise TakeoverRefused(f"process {owner} did not end within {seconds:.0f} s of SIGKILL{waits}")
