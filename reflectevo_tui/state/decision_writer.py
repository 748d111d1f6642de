"""Writes an operator's decisions immediately, and queues those that could not be written, in order, for a retry.

Used from thread workers; independent of widgets. A decision leaves the queue only after its commit.
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
    """Queue of unwritten decisions. `save` writes one in its own transaction."""

    def __init__(self, workspace: Workspace, save: Callable[[sqlite3.Connection, Decided], object]) -> None:
        self._workspace = workspace
        self._save = save
        self._waiting: deque[Decided] = deque()
        self._flushing = threading.Lock()

    @property
    def unsaved(self) -> int:
        """Number of unwritten decisions."""
        return len(self._waiting)

    def add(self, decision: Decided) -> None:
        """Queue a decision until `flush` has written it."""
        self._waiting.append(decision)

    def flush(self) -> str:
        """Write the queued decisions, oldest first; return the error that stopped it, or an empty string."""
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
