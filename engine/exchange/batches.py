"""Batches of mapped records: a file from a position on, up to so many records.

Mapping costs about as much as storing, so for large files it is done ahead, in a process of its own, while the batch
before is stored. That process is told a position and answers with the batch that begins there; it ends with the pipe.
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
from engine.exchange.mapping import imported
from engine.exchange.published import Format, Unfit, normal
from engine.exchange.reading import Damaged, Found, read_records
from store.imported import ImportedRecord

BATCH_RECORDS = 2000
BATCH_BYTES = 16 << 20
"""A batch ends at either; records of the published size end it by number."""

AHEAD_BYTES = 16 << 20
"""Smaller files are mapped before another process would have started."""


@dataclass(frozen=True, slots=True)
class Skip:
    """A record that was left out: its place and why."""

    number: int
    byte: int
    reason: str


@dataclass(slots=True)
class Batch:
    """Records that were read and mapped. `end` is the byte where the next batch begins."""

    end: int
    records: list[ImportedRecord] = field(default_factory=list)
    leaks: list[frozenset[str]] = field(default_factory=list)
    """Of the records that give the answer away: where."""
    skips: list[Skip] = field(default_factory=list)
    replaced: int = 0
    """Records with bytes that aren't UTF-8."""

    @property
    def size(self) -> int:
        return len(self.records) + len(self.skips)


@dataclass(frozen=True, slots=True)
class Source:
    """What is imported: the file, its format, and the task of questions that don't name one."""

    path: Path
    format: Format
    task: str

    def batch(self, position: int, before: int) -> Batch:
        """The batch at a byte position, behind `before` records; empty at the end. Raises OSError."""
        made = Batch(position)
        for found in read_records(self.path, position):
            self._add(made, found, before + made.size + 1)
            made.end = found.end
            if made.size >= BATCH_RECORDS or made.end - position >= BATCH_BYTES:
                break
        return made

    def _add(self, made: Batch, found: Found | Damaged, number: int) -> None:
        if isinstance(found, Damaged):
            made.skips.append(Skip(number, found.start, found.reason))
            return
        try:
            mapped = imported(normal(found.value, self.format), self.format, number, self.task)
        except Unfit as unfit:
            made.skips.append(Skip(number, found.start, str(unfit)))
            return
        made.records.append(mapped.record)
        made.replaced += found.replaced
        if mapped.leaks:
            made.leaks.append(mapped.leaks)


class Batches(Protocol):
    """Gives a batch when it is wanted; `ask` says which one will be wanted next."""

    def ask(self, position: int, before: int) -> None: ...

    def get(self) -> Batch: ...


class _Here:
    """Maps when the batch is wanted."""

    def __init__(self, source: Source) -> None:
        self._source, self._wanted = source, (0, 0)

    def ask(self, position: int, before: int) -> None:
        self._wanted = position, before

    def get(self) -> Batch:
        return self._source.batch(*self._wanted)


class _Ahead:
    """Maps in a process of its own as soon as it is known what will be wanted."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, position: int, before: int) -> None:
        self._connection.send((position, before))

    def get(self) -> Batch:
        try:
            answer = self._connection.recv()
        except EOFError as error:
            raise EngineError("the process that reads the file ended; import the file again to go on") from error
        if isinstance(answer, OSError):
            raise answer
        assert isinstance(answer, Batch)
        return answer


@contextmanager
def batches_of(source: Source, *, ahead: bool) -> Iterator[Batches]:
    """Batches of a file, mapped in this process or ahead in another one."""
    if not ahead:
        yield _Here(source)
        return
    # Spawned: a fork would hold our end of the pipe too, and not see it close when this process is killed.
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
    """What the reading process does until its pipe closes."""
    try:
        while True:
            position, before = connection.recv()
            try:
                answer: Batch | OSError = source.batch(position, before)
            except OSError as error:
                answer = error
            connection.send(answer)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
