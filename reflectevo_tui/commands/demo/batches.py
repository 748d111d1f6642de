"""Batches of rows for the synthetic workspace, and counters for their ids."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from store.database import bulk
from store.evaluation.intervals import wilson


@dataclass(slots=True)
class Batch:
    """Buffered rows of one iteration, by table."""

    tables: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: {name: [] for name in bulk.TABLES})

    def add(self, table: str, *values: Any) -> None:
        """Buffer a row."""
        self.tables[table].append(values)

    def write(self, connection: sqlite3.Connection) -> None:
        """Insert the buffered rows and clear the buffer."""
        bulk.insert_tables(connection, self.tables)
        for rows in self.tables.values():
            rows.clear()


@dataclass(slots=True)
class Numbers:
    """Next free ids."""

    question: int = 1
    attempt: int = 1
    reflection: int = 1
    trajectory: int = 1


def metric(values: list[int]) -> dict[str, float | None]:
    interval = wilson(sum(values), len(values))
    return {
        "value": sum(values) / len(values) if values else None,
        "low": interval.low,
        "high": interval.high,
        "n": len(values),
    }
