"""Determines whether an engine is alive in a workspace, from the lock (without acquiring it) and the newest heartbeat.

A held lock means alive; a recent heartbeat means responsive. "Stale" (alive, no heartbeat) differs from "stopped".
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from store.control.lock_file import read_holder
from store.control.telemetry import heartbeats

STALE_SECONDS = 5.0
"""Age in seconds above which the last heartbeat of a running engine makes it `stale`; it is renewed each second."""

_FLOCK = "hhqqi4x"  # struct flock on 64-bit Linux: type, whence, start, len, pid


EngineActivity = Literal["running", "stale", "stopped"]
"""Of the engine process: `stale` holds the lock and sends no heartbeat."""


@dataclass(frozen=True, slots=True)
class EngineState:
    """Whether an engine is running. `silent_for` is the age of the newest heartbeat in seconds; `trouble` is the reason
    why the engine can't write to the database, empty when it can."""

    state: EngineActivity
    pid: int | None
    silent_for: float | None
    trouble: str = ""


def lock_owner(lock_file: Path) -> int | None:
    """Return the pid of the process that holds the workspace lock; None when it is free."""
    try:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return owner_of(descriptor)
    finally:
        os.close(descriptor)


def owner_of(descriptor: int) -> int | None:
    """Return the same through an open descriptor of the lock file, which is left open."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else int(pid)


def engine_state(connection: sqlite3.Connection, lock_file: Path) -> EngineState:
    """Return the state of a workspace's engine.

    Args:
        connection: a reader of the workspace's database.
        lock_file: the lock file of the workspace.
    """
    owner = lock_owner(lock_file)
    newest = heartbeats(connection).get("engine")
    silent_for = max(time.time() - newest.beat, 0.0) if newest else None
    if owner is None:
        return EngineState("stopped", None, silent_for)
    stale = silent_for is None or silent_for > STALE_SECONDS
    written = read_holder(lock_file)
    trouble = written.trouble if written is not None and written.pid == owner else ""
    return EngineState("stale" if stale else "running", owner, silent_for, trouble)
