"""Migrates a workspace of an earlier version to the current schema, while no engine is running."""

from __future__ import annotations

from engine.supervisor.capabilities import publish
from engine.supervisor.lock import WorkspaceLock
from store.database.connection import writing
from store.database.migrations import migrate
from store.workspace import Workspace


def upgrade_workspace(workspace: Workspace) -> dict[str, object]:
    """Migrate the database of a workspace under its lock; one that is current is not changed.

    Raises:
        WorkspaceHeld: an engine is running there.
        StoreError: there is no workspace, or it can't be written.
    """
    database = workspace.require().database
    lock = WorkspaceLock(workspace.lock_file)
    lock.acquire()
    try:
        with writing(database, durable=True) as connection:
            migrate(connection)
            publish(connection)
    finally:
        lock.release()
    return {"workspace": str(workspace.root)}
