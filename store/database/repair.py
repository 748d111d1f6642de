"""Examines a damaged database and saves all readable rows, into a new database and as JSON lines.

Works on a copy: the original is only opened for reading, as bytes, and never changed, moved or replaced. Knows tables
and rows but not their meaning, except that a row can't stay in a database if rows it refers to are lost.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from store.database.connection import APPLICATION_ID, SCHEMA_VERSION, open_writer, write
from store.database.migrations import migrate
from store.errors import NotOurDatabase, StorageRefused
from store.workspace import private_opener

SALVAGED = "reflectevo.db"
"""Name of the new database in the directory of saved files."""

_FALLBACK_IDS = 2**22
"""Highest id that is searched for in a table whose highest id can't be read."""

_SMALLEST_ROW = 32
"""Minimum size of a row with its indexes, in bytes."""

_PARTS = (
    *(("question_id", "questions", "id"), ("attempt_id", "attempts", "id")),
    *(("reflection_id", "reflections", "id"), ("correction_id", "attempts", "id")),
)


@dataclass
class Saved:
    """The result for one table: rows read, ids that can't be read, rows left out because they refer to lost rows."""

    read: int = 0
    unreadable: int = 0
    incomplete: int = 0


@dataclass
class Salvage:
    """The result of examining a database. `directory` holds the saved rows; None when nothing had to be saved."""

    findings: list[str]
    directory: Path | None = None
    tables: dict[str, Saved] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """True if SQLite found no problem."""
        return self.findings == ["ok"]


def look(
    database: Path, place: Path, *, always: bool = False, on_table: Callable[[str], None] = lambda _: None
) -> Salvage:
    """Check a database, and if it is damaged, save its rows into the new directory `place`.

    Args:
        database: the file to examine; its WAL is included.
        place: directory to create; removed again when nothing has to be saved.
        always: save the rows of an undamaged database too.
        on_table: called with the name of each table before it is read.

    Raises:
        NotOurDatabase: the file belongs to another program or a newer version, or nothing in it can be read.
        StorageRefused: there is not enough space for the copy.
    """
    _require_room(database, place.parent)
    place.mkdir(mode=0o700, parents=True)
    copy = place / "copy.db"
    try:
        _copy(database, copy)
        # Completely separate from the original; opened for writing, so that SQLite can recover the WAL.
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            _require_ours(connection, database)
            salvage = Salvage(_integrity(connection))
            if not salvage.sound or always:
                salvage.directory = place
                _save(connection, place, salvage, on_table)
        return salvage
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    finally:
        for leftover in place.glob("copy.db*"):
            leftover.unlink()
        if place.exists() and not any(place.iterdir()):
            place.rmdir()


def _require_room(database: Path, place: Path) -> None:
    needed = 3 * sum(path.stat().st_size for path in database.parent.glob(f"{database.name}*"))
    free = shutil.disk_usage(place).free
    if free < needed:
        raise StorageRefused(
            f"saving what is in {database} may need {needed / 2**20:.0f} MiB in {place}, where {free / 2**20:.0f} MiB "
            "are free; free some space, or name another place with --to"
        )


def _copy(database: Path, copy: Path) -> None:
    for source, target in ((database, copy), (Path(f"{database}-wal"), Path(f"{copy}-wal"))):
        if source.exists():
            with source.open("rb") as original, open(target, "wb", opener=private_opener) as file:
                shutil.copyfileobj(original, file, 1 << 20)


def _require_ours(connection: sqlite3.Connection, database: Path) -> None:
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise NotOurDatabase(
            f"nothing of {database} can be read ({error}): its list of tables is gone. It was not changed; "
            "restore a copy"
        ) from error
    if application != APPLICATION_ID or not tables:
        raise NotOurDatabase(f"{database} is no database of this program and was not changed")
    if version > SCHEMA_VERSION:
        raise NotOurDatabase(
            f"{database} was written by a newer version (schema {version}, this is {SCHEMA_VERSION}); "
            "it was not changed. Repair it with that version"
        )


def _integrity(connection: sqlite3.Connection) -> list[str]:
    """Run SQLite's integrity check; returns `["ok"]`, or the first findings, including an error that aborts it."""
    try:
        return [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
    except sqlite3.DatabaseError as error:
        return [str(error)]


def _save(connection: sqlite3.Connection, place: Path, salvage: Salvage, on_table: Callable[[str], None]) -> None:
    with closing(open_writer(place / SALVAGED)) as new:
        migrate(new)
        new.execute("PRAGMA foreign_keys = OFF")
        tables = [
            (str(name), "WITHOUT ROWID" not in str(sql).upper())
            for name, sql in new.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
                " AND name NOT LIKE 'trajectory_search%' AND name NOT LIKE '_sqlite_utils%'"
                # The tallies are rebuilt by triggers as the rows are inserted.
                " AND sql NOT LIKE 'CREATE VIRTUAL%' AND name <> 'tallies'"
            )
        ]
        for name, has_rowid in tables:
            on_table(name)
            saved = salvage.tables[name] = Saved()
            columns = _columns(connection, new, name)
            rows = (
                _by_rowid(connection, name, columns, saved)
                if has_rowid
                else _in_order(connection, name, columns, saved)
            )
            target = f"INSERT OR IGNORE INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            with open(place / f"{name}.jsonl", "w", encoding="utf-8", opener=private_opener) as file, write(new):
                for row in rows:
                    saved.read += 1
                    file.write(json.dumps(dict(zip(columns, row, strict=True)), default=repr) + "\n")
                    new.execute(target, row)
        with write(new):
            _leave_out_incomplete(new, salvage)
            new.execute("INSERT INTO trajectory_search (trajectory_search) VALUES ('rebuild')")
        new.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _columns(connection: sqlite3.Connection, new: sqlite3.Connection, table: str) -> list[str]:
    """Return the columns that both databases have, without generated ones."""
    wanted = [row["name"] for row in new.execute(f"PRAGMA table_xinfo({table})") if row["hidden"] == 0]
    try:
        present = {row[1] for row in connection.execute(f"PRAGMA table_xinfo({table})")}
    except sqlite3.DatabaseError:
        present = set()
    return [name for name in wanted if name in present] or wanted


def _by_rowid(
    connection: sqlite3.Connection, table: str, columns: list[str], saved: Saved
) -> Iterator[tuple[object, ...]]:
    """Yield all rows that can be read: a range of ids that fails is bisected, down to single ids."""
    ranges = [(1, _highest(connection, table))]
    query = f"SELECT rowid, {', '.join(columns)} FROM {table} WHERE rowid BETWEEN ? AND ? ORDER BY rowid"
    while ranges:
        low, high = ranges.pop()
        reached = low - 1
        try:
            for row in connection.execute(query, (low, high)):
                reached = row[0]
                yield tuple(row[1:])
        except sqlite3.DatabaseError:
            low = reached + 1
            if low >= high:
                saved.unreadable += 1
                continue
            middle = (low + high) // 2
            ranges += [(middle + 1, high), (low, middle)]


def _highest(connection: sqlite3.Connection, table: str) -> int:
    try:
        return int(connection.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0] or 0)
    except sqlite3.DatabaseError:
        # No row is smaller than this, so there can't be more rows.
        pages, size = (int(connection.execute(f"PRAGMA {one}").fetchone()[0]) for one in ("page_count", "page_size"))
        return min(_FALLBACK_IDS, pages * size // _SMALLEST_ROW)


def _in_order(
    connection: sqlite3.Connection, table: str, columns: list[str], saved: Saved
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a table without row ids, from both ends as far as they can be read."""
    seen: set[tuple[object, ...]] = set()
    keys = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5]]
    for direction in ("ASC", "DESC"):
        order = ", ".join(f"{key} {direction}" for key in keys)
        try:
            for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"):
                if tuple(row) not in seen:
                    seen.add(tuple(row))
                    yield tuple(row)
            return
        except sqlite3.DatabaseError:
            saved.unreadable += direction == "ASC"


def _leave_out_incomplete(new: sqlite3.Connection, salvage: Salvage) -> None:
    """Remove rows that refer to lost ones from the new database, until none is left; the JSON lines keep them."""
    parts = [(table, *part) for table in salvage.tables for part in _references(new, table)]
    found = True
    while found:
        found = False
        for table, column, parent, key in parts:
            removed = new.execute(
                f"DELETE FROM {table} WHERE {column} IS NOT NULL AND {column} NOT IN (SELECT {key} FROM {parent})"
            ).rowcount
            salvage.tables[table].incomplete += removed
            found = found or removed > 0


def _references(new: sqlite3.Connection, table: str) -> list[tuple[str, str, str]]:
    """Return the column, table and key of each reference of a table; `trajectories` doesn't declare its references."""
    declared = [(row["from"], row["table"], row["to"]) for row in new.execute(f"PRAGMA foreign_key_list({table})")]
    return declared + (list(_PARTS) if table == "trajectories" else [])
