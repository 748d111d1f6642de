"""Converts SQLite rows to records; the only place that maps columns to fields."""

from __future__ import annotations

import json
import math
import sqlite3
from typing import Any, TypeVar

from store import records

Record = TypeVar("Record")

_JSON_COLUMNS = {"settings", "details", "payload", "arguments", "metrics"}
_NUMBERS = frozenset({"value", "low", "high", "n"})
_BOOLEAN_COLUMNS = {"approved", "included", "accepted"}


def load_json(text: str | None) -> Any:
    """Parse a JSON column; an invalid value becomes an empty object, so that one bad row doesn't hide the others.

    NaN and infinities, which JSON doesn't have, become None.
    """
    try:
        return json.loads(text, parse_constant=lambda _: None) if text else {}
    except (ValueError, TypeError):
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _metrics(value: Any) -> dict[str, dict[str, Any]]:
    """Return metrics by name; what is no number where one has to be is None, and what is no metric is left out."""
    return {
        name: {key: finite_or_none(one) if key in _NUMBERS else one for key, one in metric.items()}
        for name, metric in _object(value).items()
        if isinstance(metric, dict)
    }


def finite_or_none(value: Any) -> Any:
    """Return a stored value if it is a finite number, else None."""
    return value if _is_number(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def dump_json(value: object) -> str:
    """Serialise to compact JSON with sorted keys, so that equal values give equal text."""
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def to_record(kind: type[Record], row: sqlite3.Row) -> Record:
    """Build a record from a row that has a column for each of its fields."""
    values: dict[str, Any] = {}
    for name in kind.__dataclass_fields__:  # type: ignore[attr-defined]
        value = row[name]
        if name in _JSON_COLUMNS or (name == "detail" and kind is records.Heartbeat):
            value = _metrics(load_json(value)) if name == "metrics" else _object(load_json(value))
        elif name == "options":
            options = load_json(value)
            value = tuple(options) if isinstance(options, list) else ()
        elif name in _BOOLEAN_COLUMNS and value is not None:
            value = bool(value)
        values[name] = value
    return kind(**values)


def to_records(kind: type[Record], rows: list[sqlite3.Row]) -> list[Record]:
    """Build a record from each row."""
    return [to_record(kind, row) for row in rows]
