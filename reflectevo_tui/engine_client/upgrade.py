"""Brings a workspace of an earlier version up to date before it is read: the queries need the current schema.

The engine migrates when it starts; a workspace that is only looked at is migrated by a one-shot command of the engine.
"""

from __future__ import annotations

import os

from reflectevo_tui.engine_client.process import ask_engine
from store.control.liveness import lock_owner
from store.database.connection import SCHEMA_VERSION, reading, schema_version
from store.errors import OperatorError
from store.workspace import Workspace


class EarlierVersion(OperatorError):
    """Raised when a workspace of an earlier version can't be brought up to date now."""


def bring_up_to_date(workspace: Workspace) -> int | None:
    """Migrate a workspace of an earlier version.

    Returns:
        The schema version that it had; None if it was current.

    Raises:
        EarlierVersion: an engine of the earlier version is running there, or the database can't be written.
        EngineUnavailable: the migration failed; nothing was changed.
    """
    with reading(workspace.require().database) as connection:
        version = schema_version(connection)
    if version >= SCHEMA_VERSION:
        return None
    what = f"{workspace.root} was written by an earlier version (schema {version}, this is {SCHEMA_VERSION})"
    if (owner := lock_owner(workspace.lock_file)) is not None:
        raise EarlierVersion(
            f"{what}, whose engine is running there (pid {owner}). End it with the reflectevo that started it: "
            f"reflectevo shutdown -w {workspace.root}; then open it again"
        )
    if not os.access(workspace.database, os.W_OK):
        raise EarlierVersion(f"{what}, and you may not write it; ask its owner to open it once, or work on a copy")
    ask_engine("upgrade", "-w", str(workspace.root), seconds=None)
    return version
