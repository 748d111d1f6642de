"""Reads the rows of a Parquet file as records, from any row on. Positions are rows here, not bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.exchange.json_records import Found
from engine.exchange.typed_columns import from_columns

_MAGIC = b"PAR1"
_BATCH_ROWS = 200


def is_parquet(path: Path) -> bool:
    """Check whether a file is Parquet, by its first bytes. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def count_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file. Raises OSError for an incomplete file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except pa.ArrowException as error:
        raise OSError(0, f"it is no whole Parquet file: {error}") from error


def read_rows(path: Path, start: int = 0) -> Iterator[Found]:
    """Yield the rows of a file from a row on. Raises OSError when it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            row = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if row + rows <= start:
                    row += rows
                    continue
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group]):
                    if row + batch.num_rows > start:
                        for number, value in enumerate(batch.to_pylist(), start=row):
                            if number >= start:
                                yield Found(from_columns(value), number, number + 1, False)
                    row += batch.num_rows
    except pa.ArrowException as error:
        raise OSError(0, f"it is no whole Parquet file: {error}") from error
