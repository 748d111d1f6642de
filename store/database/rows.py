"""Turns SQLite rows into records. Every mapping from columns to a record stands here, once."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, TypeVar

from store import records

Record = TypeVar("Record")

_JSON_COLUMNS = {"settings", "details", "payload", "arguments", "metrics"}
_BOOLEAN_COLUMNS = {"approved", "included", "accepted"}


def load_json(text: str | None) -> Any:
    """Parse a JSON column; a damaged value becomes an empty object, so that one bad row can't hide the rest."""
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return {}


def dump_json(value: object) -> str:
    """Compact JSON with sorted keys: equal values give equal text."""
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
