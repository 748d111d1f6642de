"""Starts the supervisor: lock, migrate, clear away, say READY. The starter learns of every refusal in words."""

from __future__ import annotations

import os
import sys

from engine.errors import EngineError
from engine.lock import WorkspaceLock
from engine.supervisor import Supervisor
from store.connection import open_writer
from store.errors import StoreError
from store.migrations import migrate
from store.workspace import Workspace


def serve_workspace(workspace: Workspace, ready_descriptor: int | None) -> int:
    """Supervise a workspace until told to shut down; returns the exit code.

    Args:
        workspace: where.
        ready_descriptor: pipe to which `READY` or `ERROR why` is written once.
    """
    os.umask(0o077)
    lock = WorkspaceLock(workspace.lock_file)
    try:
        workspace.require()
        lock.acquire()
        connection = open_writer(workspace.database, durable=True)
        migrate(connection)
        supervisor = Supervisor(workspace, connection)
        supervisor.prepare()
    except (EngineError, StoreError) as error:
        print(error, file=sys.stderr, flush=True)
        _answer(ready_descriptor, f"ERROR {error}")
        return 1
    _answer(ready_descriptor, "READY")
    supervisor.run()
    connection.close()
    lock.release()
    return 0


def _answer(descriptor: int | None, text: str) -> None:
    if descriptor is None:
        return
    try:
        os.write(descriptor, text.encode() + b"\0")
        os.close(descriptor)
    except OSError:
        # The starter is gone; the engine lives on without it.
        return
