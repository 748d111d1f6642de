"""Converts SQLite rows to records; the only place that maps columns to fields."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, TypeVar

from store import records

Record = TypeVar("Record")

_JSON_COLUMNS = {"settings", "details", "payload", "arguments", "metrics"}
_BOOLEAN_COLUMNS = {"approved", "included", "accepted"}


def load_json(text: str | None) -> Any:
    """Parse a JSON column; an invalid value becomes an empty object, so that one bad row doesn't hide the others."""
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return {}


def dump_json(value: object) -> str:
    """Serialise to compact JSON with sorted keys, so that equal values give equal text."""
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def to_record(kind: type[Record], row: sqlite3.Row) -> Record:
    """Build a record from a row that has a column for each of its fields."""
    values: dict[str, Any] = {}
    for name in kind.__dataclass_fields__:  # type: ignore[attr-defined]
        value = row[name]
        if name in _JSON_COLUMNS or (name == "detail" and kind is records.Heartbeat):
            value = load_json(value)
        elif name == "options":
            value = tuple(load_json(value) or ())
        elif name in _BOOLEAN_COLUMNS and value is not None:
            value = bool(value)
        values[name] = value
    return kind(**values)


def to_records(kind: type[Record], rows: list[sqlite3.Row]) -> list[Record]:
    """Build a record from each row."""
    return [to_record(kind, row) for row in rows]
