"""Writes an operator's decisions at once and keeps those that could not be written, in order, until they are.

Used from thread workers; knows nothing of widgets. A decision leaves the list only after its commit.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from store.database.connection import writing
from store.errors import OperatorError
from store.workspace import Workspace

Decided = TypeVar("Decided")


class DecisionWriter(Generic[Decided]):
    """Decisions that wait to be written. `save` writes one in a transaction of its own."""

    def __init__(self, workspace: Workspace, save: Callable[[sqlite3.Connection, Decided], object]) -> None:
        self._workspace = workspace
        self._save = save
        self._waiting: deque[Decided] = deque()
        self._flushing = threading.Lock()

    @property
    def unsaved(self) -> int:
        """How many decisions are not written yet."""
        return len(self._waiting)

    def add(self, decision: Decided) -> None:
        """Keep a decision until `flush` has written it."""
        self._waiting.append(decision)

    def flush(self) -> str:
        """Write what waits, oldest first; returns why it stopped, or nothing when all is written."""
        with self._flushing:
            if not self._waiting:
                return ""
            try:
                with writing(self._workspace.database, durable=True) as connection:
                    while self._waiting:
                        self._save(connection, self._waiting[0])
                        self._waiting.popleft()
            except OperatorError as error:
                return str(error)
            return ""
