"""Batches of mapped records, read from a position in a file.

Mapping takes about as long as storing, so for large files a separate process maps the next batch while the current
one is stored. That process receives a position and sends back the batch that begins there; it ends with the pipe.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from engine.errors import EngineError
from engine.exchange.formats import Format, Unfit, normal
from engine.exchange.json_records import Damaged, Found, read_records
from engine.exchange.parquet_records import read_rows
from engine.exchange.record_mapping import imported
from store.exchange.imported_records import ImportedRecord

BATCH_RECORDS = 2000
BATCH_BYTES = 16 << 20
"""A batch ends at whichever limit comes first; with records of the published size it is their number."""

AHEAD_BYTES = 16 << 20
"""Size from which a second process is started; smaller files are mapped before it would be ready."""


_READER_ENDED = "the process that reads the file ended; import the file again to continue"


@dataclass(frozen=True, slots=True)
class Skip:
    """A skipped record: its number, where it begins (`byte 120`, `row 7`), and the reason."""

    number: int
    place: str
    reason: str


@dataclass(slots=True)
class Batch:
    """Mapped records. `end` is the position where the next batch begins."""

    end: int
    records: list[ImportedRecord] = field(default_factory=list)
    leaks: list[frozenset[str]] = field(default_factory=list)
    """Where the answer leaks (`prompt`, `reflection`), for each record with a leak."""
    skips: list[Skip] = field(default_factory=list)
    replaced: int = 0
    """Number of records with bytes that are not UTF-8."""

    @property
    def size(self) -> int:
        return len(self.records) + len(self.skips)


@dataclass(frozen=True, slots=True)
class Source:
    """The imported file, its format, and the task of questions that do not name one.

    Positions are rows in a Parquet file, bytes in any other.
    """

    path: Path
    format: Format
    task: str
    parquet: bool

    def read(self, position: int) -> Iterator[Found | Damaged]:
        """Yield the records from a position on. Raises OSError."""
        return read_rows(self.path, position) if self.parquet else read_records(self.path, position)


class Mapper:
    """Reads and maps batches; consecutive batches are read without reopening the file."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: Iterator[Found | Damaged] = iter(())
        self._at = -1

    def batch(self, position: int, before: int) -> Batch:
        """Return the batch at a position, after `before` records; empty at the end of the file. Raises OSError."""
        if position != self._at:
            self._found = self._source.read(position)
        made = Batch(position)
        for found in self._found:
            self._add(made, found, before + made.size + 1)
            made.end = found.end
            if made.size >= BATCH_RECORDS or made.end - position >= BATCH_BYTES:
                break
        self._at = made.end
        return made

    def _add(self, made: Batch, found: Found | Damaged, number: int) -> None:
        source = self._source
        place = f"{'row' if source.parquet else 'byte'} {found.start}"
        if isinstance(found, Damaged):
            made.skips.append(Skip(number, place, found.reason))
            return
        try:
            mapped = imported(normal(found.value, source.format), source.format, number, source.task)
        except Unfit as unfit:
            made.skips.append(Skip(number, place, str(unfit)))
            return
        made.records.append(mapped.record)
        made.replaced += found.replaced
        if mapped.leaks:
            made.leaks.append(mapped.leaks)


class Batches(Protocol):
    """Source of batches: `ask` announces the next one, `get` returns it."""

    def ask(self, position: int, before: int) -> None: ...

    def get(self) -> Batch: ...


class _Here:
    """Maps a batch in this process when it is fetched."""

    def __init__(self, source: Source) -> None:
        self._mapper, self._wanted = Mapper(source), (0, 0)

    def ask(self, position: int, before: int) -> None:
        self._wanted = position, before

    def get(self) -> Batch:
        return self._mapper.batch(*self._wanted)


class _Ahead:
    """Maps a batch in a separate process as soon as it is announced."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, position: int, before: int) -> None:
        try:
            self._connection.send((position, before))
        except BrokenPipeError as error:
            raise EngineError(_READER_ENDED) from error

    def get(self) -> Batch:
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise EngineError(_READER_ENDED) from error
        if isinstance(answer, OSError):
            raise answer
        assert isinstance(answer, Batch)
        return answer


@contextmanager
def batches_of(source: Source, *, ahead: bool) -> Iterator[Batches]:
    """Yield the batches of a file, mapped in this process or ahead of time in another one."""
    if not ahead:
        yield _Here(source)
        return
    # Spawned: a forked process would inherit our end of the pipe, and not see it close when this process is killed.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(source, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _Ahead(ours)
    finally:
        ours.close()
        process.join(5)
        if process.is_alive():
            process.kill()


def _answer(source: Source, connection: Connection) -> None:
    """Serve batches in the reading process until its pipe closes."""
    mapper = Mapper(source)
    try:
        while True:
            position, before = connection.recv()
            try:
                answer: Batch | OSError = mapper.batch(position, before)
            except OSError as error:
                answer = error
            connection.send(answer)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
