"""Runs a single query on the store from a thread worker with its own connection. Independent of widgets."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from store.database.connection import read, reading
from store.workspace import Workspace

Found = TypeVar("Found")


def ask_store(workspace: Workspace, question: Callable[[sqlite3.Connection], Found]) -> Found:
    """Return the result of a query on a consistent snapshot of the store.

    Raises:
        StoreError: when the store can't be read; callers report it to the operator.
    """
    with reading(workspace.database) as connection, read(connection):
        return question(connection)
