"""Streaming writers of rows as JSON lines or Parquet, with few rows in memory."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

from engine.exchange.typed_columns import OTHER, TRAINER_COLUMNS, TRIAL_COLUMNS, Columns, to_columns
from engine.exchange.unmapped_fields import Json
from store.database.connection import storable

Encoding = Literal["jsonl", "parquet"]
_GROUP_ROWS = 1000


class Writer(Protocol):
    """A file that rows are written to."""

    def write(self, row: Json) -> None: ...

    def __enter__(self) -> Writer: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_writer(path: Path, encoding: Encoding, columns: Columns) -> Writer:
    """Return a writer of rows with these columns; `path` has no suffix."""
    if encoding == "jsonl":
        return _JsonLines(path.with_suffix(".jsonl"))
    return _Parquet(path.with_suffix(".parquet"), columns)


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="\n")

    def write(self, row: Json) -> None:
        line = json.dumps(row, ensure_ascii=False)
        # Lone surrogates cannot be encoded as UTF-8; as JSON escapes they are preserved.
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
        self._keeps_other = columns not in TRAINER_COLUMNS.values()
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
        return pa.list_(pa.struct([*((name, _arrow(pa, one)) for name, one in TRIAL_COLUMNS.items()), (OTHER, text)]))
    return {"text": text, "number": pa.int64(), "truth": pa.bool_()}[kind]
