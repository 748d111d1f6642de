"""Imports a published file into a workspace, in short transactions; safe to kill and resume at any time.

Each batch is read and mapped before its transaction begins (see `batches`); the transaction also stores the position
in the file. While an engine works in the workspace, the import pauses after each transaction for as long as it took.
"""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.exchange.formats import FORMATS, Format, detect
from engine.exchange.json_records import Found, read_records
from engine.exchange.leak_flags import IN_PROMPT, IN_REFLECTION
from engine.exchange.parquet_records import count_rows, is_parquet, read_rows
from engine.exchange.record_batches import AHEAD_BYTES, Batch, Source, batches_of
from store.control.liveness import lock_owner
from store.control.telemetry import add_event
from store.database.connection import checkpoint, write, writing
from store.database.migrations import is_current
from store.database.search_buffer import widen_search_buffer
from store.exchange.import_rows import insert_records
from store.exchange.imports import (
    SEARCH_BUFFER,
    Advance,
    ImportTarget,
    StoredImport,
    advance_import,
    begin_import,
    find_import,
    finish_import,
    free_run_name,
    target_of,
)
from store.records import StageName
from store.runs.runs import get_run, run_named
from store.workspace import Workspace

Report = Callable[[dict[str, object]], None]
"""Receives an event (`progress`, `skipped` or `done`) as values for a screen or a script."""

_PEEKED_RECORDS = 100
_PEEKED_BYTES = 8 << 20
_SAMPLES = 64
_SAMPLE_BYTES = 64 << 10
_NAMED_SKIPS = 100
"""Largest number of skipped records that are reported one by one; all are counted."""
_CACHE_KIB = 64 << 10
_CHECKPOINT_PAGES = 8000


class ImportRefused(EngineError):
    """An import that is not possible as requested."""


@dataclass(slots=True)
class _Tally:
    """Counts of the records read so far."""

    records: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    leaks: Counter[str] = field(default_factory=Counter)
    leaking: int = 0
    replaced: int = 0

    @property
    def number(self) -> int:
        return self.records + self.skipped.total()

    def add(self, batch: Batch) -> None:
        self.records += len(batch.records)
        self.skipped.update(skip.reason for skip in batch.skips)
        for kinds in batch.leaks:
            self.leaks.update(kinds)
        self.leaking += len(batch.leaks)
        self.replaced += batch.replaced

    def details(self) -> dict[str, object]:
        return {"reasons": dict(self.skipped), "leaks": dict(self.leaks), "replaced": self.replaced}

    @classmethod
    def of(cls, stored: StoredImport) -> _Tally:
        details: Mapping[str, Any] = stored.details
        return cls(
            stored.records,
            Counter(details.get("reasons", {})),
            Counter(details.get("leaks", {})),
            stored.leaks,
            int(details.get("replaced", 0)),
        )


def import_file(
    workspace: Workspace, path: Path, report: Report, *, file_format: str = "", name: str = "", task: str = ""
) -> dict[str, object]:
    """Import a published file, or resume an earlier import of it; return the counts.

    Args:
        workspace: Workspace to import into.
        path: The file.
        report: Receives progress (about twice a second) and skipped records.
        file_format: One of `FORMATS`; by default detected from the content.
        name: Name of the new run; by default that of the file.
        task: Task of questions that do not name one; by default the name of the file.

    Raises:
        ImportRefused: When the file cannot be read, its format cannot be detected, the name is taken, or another
            process imports the same file.
    """
    path = path.expanduser().resolve()
    if file_format and file_format not in FORMATS:
        raise ImportRefused(f"there is no format {file_format!r}; formats are: {', '.join(FORMATS)}")
    try:
        parquet = is_parquet(path)
        size = count_rows(path) if parquet else path.stat().st_size
        chosen = _format_of(path, file_format, parquet)
        identity = _identity(path, chosen)
    except OSError as error:
        raise ImportRefused(f"{path} can't be read: {error.strerror}") from error
    with writing(workspace.require().database) as connection:
        if not is_current(connection):
            raise ImportRefused(f"{workspace.database} has an older schema; start the engine once, then import again")
        # Keys are random in a growing index: with SQLite's default cache of 2 MB, each page would be read again.
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        stored = find_import(connection, identity)
        if stored is not None and stored.ended is not None:
            return _outcome(connection, stored, already=True)
        if stored is None:
            target = _begin(connection, path, chosen, identity, size, name, task or path.stem)
        else:
            target = target_of(connection, stored)
        with write(connection):
            widen_search_buffer(connection, SEARCH_BUFFER)
        work = _Import(workspace, connection, path, chosen, parquet, target, size, report)
        work.run(stored)
        done = find_import(connection, identity)
        assert done is not None
        checkpoint(connection)
        return _outcome(connection, done, already=False)


def _format_of(path: Path, wanted: str, parquet: bool) -> Format:
    for one in FORMATS:
        if one == wanted:
            return one
    records = []
    for found in itertools.islice(read_rows(path) if parquet else read_records(path), _PEEKED_RECORDS):
        if isinstance(found, Found):
            records.append(found.value)
        if found.end > _PEEKED_BYTES:
            break
    found_format = detect(records)
    if found_format is not None:
        return found_format
    if not records:
        raise ImportRefused(f"{path} holds no JSON record; a published file holds JSON objects, one after another")
    first = records[0]
    fields = ", ".join(map(str, list(first)[:12])) if isinstance(first, dict) else type(first).__name__
    raise ImportRefused(
        f"the format of {path} is not recognised; its first record has: {fields}. Name it with --format, one of: "
        + ", ".join(FORMATS)
    )


def _identity(path: Path, file_format: str) -> str:
    """Return the identity of an import: a hash of size, format, and evenly spaced samples of the content.

    Hashing all of a file of many gigabytes would delay the check whether it has been imported already.
    """
    size = path.stat().st_size
    made = hashlib.sha256(f"{file_format}|{size}|".encode())
    with path.open("rb") as file:
        last = max(0, size - _SAMPLE_BYTES)
        for place in sorted({last * sample // (_SAMPLES - 1) for sample in range(_SAMPLES)}):
            file.seek(place)
            made.update(file.read(_SAMPLE_BYTES))
    return made.hexdigest()


def _begin(
    connection: sqlite3.Connection, path: Path, file_format: Format, identity: str, size: int, name: str, task: str
) -> ImportTarget:
    with write(connection):
        if name and run_named(connection, name) is not None:
            raise ImportRefused(f"there is a run {name!r} already; choose another --name")
        chosen = name or free_run_name(connection, path.stem or "import")
        target = begin_import(
            connection,
            name=chosen,
            path=str(path),
            file_format=file_format,
            identity=identity,
            size=size,
            task=task,
        )
        add_event(connection, "info", "import", f"import of {path} ({file_format}) into run {chosen!r} started")
    return target


class _Import:
    """A running import of one file."""

    def __init__(
        self,
        workspace: Workspace,
        connection: sqlite3.Connection,
        path: Path,
        file_format: Format,
        parquet: bool,
        target: ImportTarget,
        size: int,
        report: Report,
    ) -> None:
        self._workspace, self._connection, self._path = workspace, connection, path
        self._target, self._size, self._report = target, size, report
        run = get_run(connection, target.run_id)
        self._name = run.name
        given: Any = run.settings["import"]
        self._source = Source(path, file_format, given["task"], parquet)
        self._told = 0.0

    def run(self, stored: StoredImport | None) -> None:
        """Import from the stored position to the end of the file."""
        tally = _Tally() if stored is None else _Tally.of(stored)
        position = 0 if stored is None else stored.position
        started, before = time.monotonic(), tally.number
        try:
            with batches_of(self._source, ahead=self._path.stat().st_size >= AHEAD_BYTES) as batches:
                batches.ask(position, tally.number)
                while (batch := batches.get()).size:
                    tally.add(batch)
                    batches.ask(batch.end, tally.number)
                    held = self._store(batch, position, tally)
                    position = batch.end
                    self._progress(position, tally, (tally.number - before) / max(time.monotonic() - started, 1e-9))
                    if lock_owner(self._workspace.lock_file) is not None:
                        time.sleep(held)
        except BrokenPipeError:
            raise  # the reader of the progress has closed its pipe
        except OSError as error:
            raise ImportRefused(
                f"{self._path} can't be read any further ({error.strerror or error}); what was imported is kept. "
                "Import it again to continue"
            ) from error
        with write(self._connection):
            finish_import(self._connection, self._target, self._notes(tally))
            skipped = f", {tally.skipped.total()} skipped" if tally.skipped else ""
            leaks = f", {tally.leaking} give the answer away" if tally.leaking else ""
            add_event(
                self._connection,
                "info",
                "import",
                f"import of {self._path} is complete: {tally.records} records{skipped}{leaks} (run {self._name!r})",
            )

    def _store(self, batch: Batch, before: int, tally: _Tally) -> float:
        """Store a batch in one transaction; return how long it held the database, in seconds."""
        connection, named = self._connection, tally.skipped.total() - len(batch.skips)
        started = time.monotonic()
        with write(connection):
            added = insert_records(connection, self._target, batch.records)
            advance = Advance(batch.end, tally.records, tally.skipped.total(), tally.leaking, tally.details(), added)
            if not advance_import(connection, self._target, before, advance):
                raise ImportRefused(f"another process is importing {self._path}; wait for it to finish")
            for skip in batch.skips[: max(0, _NAMED_SKIPS - named)]:
                place = f"record {skip.number} ({skip.place})"
                add_event(connection, "warning", "import", f"{self._path.name}: {place} was skipped: {skip.reason}")
        held = time.monotonic() - started
        for skip in batch.skips:
            self._report({"event": "skipped", "record": skip.number, "place": skip.place, "reason": skip.reason})
        return held

    def _progress(self, position: int, tally: _Tally, rate: float) -> None:
        now = time.monotonic()
        if now - self._told < 0.5 and position < self._size:
            return
        self._told = now
        self._report(
            {
                "event": "progress",
                "run": self._name,
                "position": position,
                "size": self._size,
                "records": tally.records,
                "skipped": tally.skipped.total(),
                "leaking": tally.leaking,
                "rate": round(rate, 1),
            }
        )

    def _notes(self, tally: _Tally) -> dict[StageName, str]:
        """Return the note of each stage of the iteration."""
        skipped = ", ".join(f"{n} {reason}" for reason, n in tally.skipped.most_common(5))
        prompts, reflections = tally.leaks[IN_PROMPT], tally.leaks[IN_REFLECTION]
        return {
            "attempt": f"imported from {self._path.name}" + (f"; skipped: {skipped}" if skipped else ""),
            "reflect": f"the answer is stated in {prompts} prompts and {reflections} reflections"
            if tally.leaking
            else "",
        }


def _outcome(connection: sqlite3.Connection, stored: StoredImport, *, already: bool) -> dict[str, object]:
    return {
        "event": "done",
        "already": already,
        "run": get_run(connection, stored.run_id).name,
        "path": stored.path,
        "format": stored.format,
        "records": stored.records,
        "skipped": stored.skipped,
        "leaking": stored.leaks,
        **stored.details,
    }
