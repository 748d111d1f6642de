"""Reads the rows of a local file: JSONL, JSON, CSV, TSV or Parquet, chosen by the file's suffix.

A row that can't be read is reported with its location, and the others are still read. Rows are streamed, so that memory
does not grow with the file (except for a JSON array). Independent of questions.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from engine.errors import TaskError
from engine.tasks.base import Row, SkippedRow
from engine.tasks.loading.fields import RowRefused, kind_of

_LONGEST_CELL = 2**24
"""Longest cell of a CSV file, in characters."""


def read_rows(path: Path) -> Iterator[Row | SkippedRow]:
    """Yield the rows of a file, and a SkippedRow with the reason for each row that can't be read.

    Raises:
        TaskError: if the file is missing, unreadable, or not in its format at all.
    """
    try:
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        raise TaskError(f"{path}: no such file; check the task's path (it is relative to the settings file)") from None
    except OSError as error:
        raise TaskError(f"{path}: can't be read ({error.strerror or error})") from error
    ending = path.suffix.lower()
    if ending == ".parquet":
        return _parquet(path)
    if ending in (".csv", ".tsv"):
        return _csv(path, "\t" if ending == ".tsv" else ",")
    if ending == ".json":
        return _json(path)
    return _json_lines(path)


def _json_lines(path: Path) -> Iterator[Row | SkippedRow]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not content.strip():
                continue
            try:
                yield Row(number, _object(content))
            except RowRefused as refusal:
                yield SkippedRow(str(path), number, str(refusal))


def _object(line: bytes) -> dict[str, object]:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise RowRefused("not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise RowRefused(f"not JSON, perhaps a torn line ({error})") from None
    if not isinstance(value, dict):
        raise RowRefused(f"{kind_of(value)} instead of a JSON object")
    return value


def _json(path: Path) -> Iterator[Row | SkippedRow]:
    """Yield the rows of a JSON array of objects, of an object with one such array, or of one object per line."""
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise TaskError(f"{path}: not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        if "Extra data" in str(error):
            yield from _json_lines(path)
            return
        raise TaskError(f"{path}: not JSON, perhaps torn ({error}); as JSONL (.jsonl) whole rows are kept") from None
    if isinstance(value, dict):
        lists = [part for part in value.values() if isinstance(part, list) and part and isinstance(part[0], dict)]
        if len(lists) != 1:
            yield Row(1, value)
            return
        value = lists[0]
    if not isinstance(value, list):
        raise TaskError(f"{path}: {kind_of(value)} instead of a list of objects")
    for number, part in enumerate(value, start=1):
        if isinstance(part, dict):
            yield Row(number, part)
        else:
            yield SkippedRow(str(path), number, f"{kind_of(part)} instead of a JSON object", "row")


def _csv(path: Path, delimiter: str) -> Iterator[Row | SkippedRow]:
    """Yield rows keyed by the column names in the first line. The number of a row is the line on which it ends."""
    csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            names = next(reader, [])
            while True:
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    yield SkippedRow(str(path), reader.line_num, f"not CSV, perhaps a torn line ({error})")
                    continue
                if cells is None:
                    return
                if len(cells) == len(names):
                    yield Row(reader.line_num, dict(zip(names, cells, strict=True)))
                elif cells:
                    reason = f"{len(cells)} cells for {len(names)} columns"
                    yield SkippedRow(str(path), reader.line_num, reason)
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None


def _parquet(path: Path) -> Iterator[Row | SkippedRow]:
    try:
        library, errors = import_module("pyarrow.parquet"), import_module("pyarrow.lib")
    except ImportError as error:
        raise TaskError(f"{path}: Parquet files need pyarrow: pip install 'reflectevo[engine]' ({error})") from error
    try:
        number = 0
        for batch in library.ParquetFile(path).iter_batches(batch_size=1024):
            for values in batch.to_pylist():
                number += 1
                yield Row(number, values)
    except (errors.ArrowException, OSError) as error:
        raise TaskError(f"{path}: not a whole Parquet file ({error})") from error
