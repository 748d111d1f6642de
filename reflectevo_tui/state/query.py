"""One question to the store from a thread: opens a reader, asks, closes. Knows nothing of widgets."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from store.database.connection import read, reading
from store.workspace import Workspace

Found = TypeVar("Found")


def ask_store(workspace: Workspace, question: Callable[[sqlite3.Connection], Found]) -> Found:
    """The answer of one consistent picture of the store.

    Raises:
        StoreError: when it can't be read; callers say so to the operator.
    """
    with reading(workspace.database) as connection, read(connection):
        return question(connection)
