"""Starts the supervisor: locks and migrates the database, then reports READY, or the reason for a refusal."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress

from engine.errors import log_error
from engine.evaluation.policy_floors import add_missing_floors
from engine.supervisor.lock import WorkspaceLock
from engine.supervisor.supervisor import Supervisor
from store.database.connection import open_writer
from store.database.migrations import migrate
from store.database.outage import disk_trouble, is_damage, store_error
from store.errors import OperatorError
from store.workspace import Workspace


def serve_workspace(workspace: Workspace, ready_descriptor: int | None) -> int:
    """Supervise a workspace until it is shut down; returns the exit code.

    Args:
        workspace: the workspace to supervise.
        ready_descriptor: pipe to which `READY` or `ERROR <reason>` is written once.
    """
    os.umask(0o077)
    lock = WorkspaceLock(workspace.lock_file)
    try:
        workspace.require()
        lock.acquire()
        connection = open_writer(workspace.database, durable=True)
        migrate(connection)
        supervisor = Supervisor(workspace, connection, lock.note)
        supervisor.prepare()
    except (OperatorError, sqlite3.DatabaseError) as error:
        words = str(error) if isinstance(error, OperatorError) else _named(workspace, error)
        log_error(words)
        # Released before the report, because its reader may immediately try again.
        lock.release()
        _answer(ready_descriptor, f"ERROR {words}")
        return 1
    _answer(ready_descriptor, "READY")
    try:
        # A full disk leaves them to the next start.
        with suppress(sqlite3.OperationalError):
            add_missing_floors(connection)
        supervisor.run()
    except sqlite3.DatabaseError as error:
        # A broken statement or constraint is a bug.
        if not is_damage(error):
            raise
        log_error(_named(workspace, error))
        return 1
    connection.close()
    lock.release()
    return 0


def _named(workspace: Workspace, error: sqlite3.DatabaseError) -> str:
    trouble = disk_trouble(error)
    if trouble is not None:
        return trouble
    if not is_damage(error):
        raise error
    return str(store_error(error, workspace.database))


def _answer(descriptor: int | None, text: str) -> None:
    if descriptor is None:
        return
    try:
        os.write(descriptor, text.encode() + b"\0")
        os.close(descriptor)
    except OSError:
        # The process that started the engine has exited; the engine runs on without it.
        return
