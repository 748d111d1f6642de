"""Writes rows of any number as JSON lines or Parquet, holding few of them in memory.

Parquet has columns of one type each. What doesn't fit them (a field that only some records have, a number where others
have a text) is kept as JSON in the column `other`; `from_columns` puts a row together again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

from engine.exchange.published import Format
from engine.exchange.remainder import Json, remainder, restored
from store.connection import storable

Encoding = Literal["jsonl", "parquet"]
OTHER = "other"

_GROUP_ROWS = 1000

Columns = Mapping[str, str]
"""Name of a column → `text`, `texts`, `number`, `truth`, `messages` or `trials`."""

_TRIAL: Columns = {
    "generated_answer": "text",
    "reflections": "texts",
    "reasoning": "text",
    "is_correct": "truth",
    "test_list": "text",
    "trial": "number",
    "reasoning_source": "text",
    "reflection_source": "text",
}
_FIRST: Columns = {
    "id": "number",
    "question": "text",
    "answer": "text",
    "first_trial_reasoning": "text",
    "first_trial_answer": "text",
}
_PAIR: Columns = {
    **_FIRST,
    "second_trial_reasoning_chosen": "text",
    "second_trial_answer_chosen": "text",
    "reflection_chosen": "text",
    "second_trial_reasoning_rejected": "text",
    "second_trial_answer_rejected": "text",
    "reflection_rejected": "text",
    "reason_prompt": "text",
    "reflection_prompt": "text",
}
PUBLISHED_COLUMNS: Mapping[Format, Columns] = {
    "raw": {"question": "text", "answer": "text", "id": "number", "output": "trials"},
    "d-plus": {
        **_FIRST,
        "second_trial_reasoning": "text",
        "second_trial_answer": "text",
        "reflections": "text",
        "reason_prompt": "texts",
        "reflect_prompt": "text",
    },
    "d-pm": _PAIR,
    "d-pref": _PAIR,
}
SFT_COLUMNS: Columns = {"prompt": "messages", "completion": "messages"}
DPO_COLUMNS: Columns = {"prompt": "messages", "chosen": "messages", "rejected": "messages"}


class Writer(Protocol):
    """A file that takes rows."""

    def write(self, row: Json) -> None: ...

    def __enter__(self) -> Writer: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_writer(path: Path, encoding: Encoding, columns: Columns) -> Writer:
    """A writer for rows with these columns; `path` is without ending."""
    if encoding == "jsonl":
        return _JsonLines(path.with_suffix(".jsonl"))
    return _Parquet(path.with_suffix(".parquet"), columns)


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="\n")

    def write(self, row: Json) -> None:
        line = json.dumps(row, ensure_ascii=False)
        # A lone surrogate has no UTF-8; as an escape it survives.
        self._file.write((line if storable(line) == line else json.dumps(row, ensure_ascii=True)) + "\n")

    def __enter__(self) -> _JsonLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path, columns: Columns) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._columns, self._rows = columns, list[Json]()
        self._keeps_other = columns not in (SFT_COLUMNS, DPO_COLUMNS)
        fields = [(name, _arrow(pa, kind)) for name, kind in columns.items()]
        self._schema = pa.schema([*fields, (OTHER, pa.string())] if self._keeps_other else fields)
        self._table = pa.Table
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, row: Json) -> None:
        self._rows.append(to_columns(row, self._columns) if self._keeps_other else row)
        if len(self._rows) >= _GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()


def _arrow(pa: Any, kind: str) -> Any:
    text = pa.string()
    if kind == "texts":
        return pa.list_(text)
    if kind == "messages":
        return pa.list_(pa.struct([("role", text), ("content", text)]))
    if kind == "trials":
        return pa.list_(pa.struct([*((name, _arrow(pa, one)) for name, one in _TRIAL.items()), (OTHER, text)]))
    return {"text": text, "number": pa.int64(), "truth": pa.bool_()}[kind]


def to_columns(row: Mapping[str, Any], columns: Columns) -> Json:
    """A row with these columns and `other`; a value that doesn't fit its column stands in `other`."""
    made: Json = {}
    for name, kind in columns.items():
        value = row.get(name)
        made[name] = value if _fits(value, kind) else None
    left = remainder(row, made)
    if columns.get("output") == "trials" and isinstance(row.get("output"), list):
        trials = row["output"]
        if all(isinstance(trial, dict) for trial in trials):
            made["output"] = [to_columns(trial, _TRIAL) for trial in trials]
            left = remainder({**row, "output": made["output"]}, made)
    made[OTHER] = json.dumps(left, ensure_ascii=True, separators=(",", ":")) if left else None
    return made


def from_columns(row: Mapping[str, Any]) -> Json:
    """The row that `to_columns` was given."""
    made = {name: value for name, value in row.items() if name != OTHER}
    if isinstance(made.get("output"), list) and all(isinstance(one, dict) and OTHER in one for one in made["output"]):
        made["output"] = [from_columns(trial) for trial in made["output"]]
    return restored(made, json.loads(row[OTHER]) if row.get(OTHER) else {})


def _fits(value: object, kind: str) -> bool:
    if kind == "text":
        return isinstance(value, str) and storable(value) == value
    if kind == "texts":
        return isinstance(value, list) and all(_fits(one, "text") for one in value)
    if kind == "number":
        return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return isinstance(value, bool)
