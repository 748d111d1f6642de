"""Tests the one module that opens a database: WAL, permissions, refusals that change nothing, transactions."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.database import connection as store_connection
from store.database.connection import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    checkpoint,
    data_version,
    open_reader,
    open_writer,
    storable,
    write,
)
from store.database.migrations import migrate
from store.errors import NotOurDatabase, StorageRefused, StoreError, WorkspaceNotFound
from tests.support.waiting import run


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a current database."""
    path = tmp_path / "reflectevo.db"
    with closing(open_writer(path)) as connection:
        migrate(connection)
    return path


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_only_the_owner_reads_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Prompts and answers may be confidential: database, WAL and shared memory are 0600 under any umask."""
    before = os.umask(umask)
    try:
        with closing(open_writer(tmp_path / "reflectevo.db")) as connection:
            migrate(connection)
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("reflectevo.db", "reflectevo.db-wal", "reflectevo.db-shm"), 0o600)


@pytest.mark.parametrize(("durable", "synchronous"), [(False, 1), (True, 2)])
def test_a_writer_has_wal_foreign_keys_and_the_asked_durability(
    tmp_path: Path, durable: bool, synchronous: int
) -> None:
    """The settings that all other code relies on are in force, not merely requested."""
    with closing(open_writer(tmp_path / "reflectevo.db", durable=durable)) as connection:

        def pragma(name: str) -> object:
            return connection.execute(f"PRAGMA {name}").fetchone()[0]

        assert pragma("journal_mode") == "wal"
        assert pragma("synchronous") == synchronous
        assert pragma("foreign_keys") == 1
        assert pragma("busy_timeout") == store_connection.BUSY_TIMEOUT_MS


def test_wal_that_is_not_granted_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that silently fell back to a rollback journal would block its readers."""

    class NoWal(sqlite3.Connection):
        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]
            return super().execute(sql.replace("journal_mode = WAL", "journal_mode = DELETE"), *values)  # type: ignore[arg-type]

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **more: connect(*given, factory=NoWal, **more))
    with pytest.raises(StorageRefused, match="WAL was refused"):
        open_writer(tmp_path / "reflectevo.db")


def test_a_reader_can_not_write(database: Path) -> None:
    """The terminal must not be able to change what the engine wrote, even by a bug."""
    with closing(open_reader(database)) as reader:
        for statement in ("DELETE FROM runs", "CREATE TABLE mine (a)", "PRAGMA user_version = 9"):
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                reader.execute(statement)


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (name)")
        connection.commit()


def _newer(path: Path) -> None:
    with closing(open_writer(path)) as connection:
        migrate(connection)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def _damaged(path: Path) -> None:
    path.write_bytes(b"This is not a database. " * 200)


def _torn(path: Path) -> None:
    with closing(open_writer(path)) as connection:
        migrate(connection)
    path.write_bytes(path.read_bytes()[:600])


@pytest.mark.parametrize("opener", [open_reader, open_writer])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_foreign, "another program"),
        (_newer, "newer version"),
        (_damaged, "can't be read as a database"),
        (_torn, "can't be read as a database"),
    ],
)
def test_what_is_not_ours_is_refused_in_words_and_left_as_it_is(
    tmp_path: Path, opener: Callable[[Path], sqlite3.Connection], make: Callable[[Path], None], words: str
) -> None:
    """Passing a wrong file to the program must not damage that file, nor change its permissions."""
    path = tmp_path / "some.db"
    make(path)
    path.chmod(0o640)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(NotOurDatabase, match=words) as refusal:
        opener(path)
    assert str(path) in str(refusal.value)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert path.stat().st_mode & 0o777 == 0o640


def test_the_wal_of_a_foreign_database_is_not_folded_into_it(tmp_path: Path) -> None:
    """The last writer to close a database checkpoints its WAL; a crashed program may need to do that itself."""
    live, copy = tmp_path / "live.db", tmp_path / "copy.db"
    with closing(sqlite3.connect(live)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE photos (name)")
        connection.commit()
        for ending in ("", "-wal"):
            Path(f"{copy}{ending}").write_bytes(Path(f"{live}{ending}").read_bytes())
    before = [Path(f"{copy}{ending}").read_bytes() for ending in ("", "-wal")]
    with pytest.raises(NotOurDatabase, match="another program"):
        open_writer(copy)
    assert [Path(f"{copy}{ending}").read_bytes() for ending in ("", "-wal")] == before


def test_a_missing_database_is_named_and_a_reader_makes_none(tmp_path: Path) -> None:
    """The refusal of a mistyped path explains how to create a workspace, and leaves no empty file behind."""
    with pytest.raises(WorkspaceNotFound, match="reflectevo init"):
        open_reader(tmp_path / "reflectevo.db")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    """A kill between the creation of the file and its first page must not require manual repair."""
    path = tmp_path / "reflectevo.db"
    path.touch()
    with closing(open_writer(path)) as connection:
        migrate(connection)
        assert connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    """A missing or inaccessible directory is a refusal with its reason, not a traceback."""
    with pytest.raises(StorageRefused, match="No such file or directory"):
        open_writer(tmp_path / "gone" / "reflectevo.db")


def test_a_path_with_uri_characters_opens(tmp_path: Path) -> None:
    """Readers open by URI: `?`, `#` and `%` in a directory's name are part of the name."""
    root = tmp_path / "what? 100% #1"
    root.mkdir()
    with closing(open_writer(root / "reflectevo.db")) as connection:
        migrate(connection)
    with closing(open_reader(root / "reflectevo.db")) as reader:
        assert reader.execute("SELECT count(*) FROM runs").fetchone()[0] == 0


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WAL on a network file system loses data silently, so it is refused by name before a file is created."""
    monkeypatch.setattr(store_connection, "_network_file_system", lambda directory: "NFS")
    with pytest.raises(StorageRefused, match="NFS"):
        open_writer(tmp_path / "reflectevo.db")
    assert list(tmp_path.iterdir()) == []


def test_the_file_system_probe_knows_a_network_and_a_local_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe reads statfs(2): it distinguishes the magic number of a network file system from that of this disk."""
    local = store_connection._network_file_system(tmp_path)
    assert local is None or local in store_connection._NETWORK_FILE_SYSTEMS.values()

    class Libc:
        def __init__(self, *_: object, **__: object) -> None: ...

        def statfs(self, path: bytes, buffer: Any) -> int:
            ctypes.cast(buffer, ctypes.POINTER(ctypes.c_long))[0] = 0x6969
            return 0

    monkeypatch.setattr(store_connection.ctypes, "CDLL", Libc)
    assert store_connection._network_file_system(tmp_path) == "NFS"


def test_text_that_is_not_utf8_does_not_break_a_read(database: Path) -> None:
    """One damaged byte in one row must not hide the rows around it."""
    with closing(open_writer(database)) as connection, write(connection):
        connection.execute(
            "INSERT INTO events (created, level, source, text) VALUES (0, 'info', 'x', CAST(x'61ff62' AS TEXT))"
        )
    with closing(open_reader(database)) as reader:
        assert reader.execute("SELECT text FROM events").fetchone()[0] == "a\ufffdb"


@given(st.text(st.characters(categories=("L", "N", "Cs", "Cc", "S"))))
def test_storable_text_can_be_stored_and_only_loses_lone_surrogates(text: str) -> None:
    """A lone surrogate (as in a truncated emoji) raises when it is bound; all other text passes unchanged."""
    cleaned = storable(text)
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute("SELECT ?", (cleaned,)).fetchone()[0] == cleaned
    try:
        text.encode()
    except UnicodeEncodeError:
        assert "\ufffd" in cleaned or any(ord(c) > 0xFFFF for c in cleaned)
    else:
        assert cleaned == text


def test_write_rolls_back_whatever_happens_inside(database: Path) -> None:
    """A partial transaction must never be visible, and the connection is free for the next one."""
    with closing(open_writer(database)) as connection:
        for failure in (ValueError, KeyboardInterrupt, sqlite3.IntegrityError):
            with pytest.raises(failure), write(connection):
                connection.execute("INSERT INTO events (created, level, source, text) VALUES (0, 'info', 'x', 'y')")
                raise failure
            assert not connection.in_transaction
        assert connection.execute("SELECT count(*) FROM events").fetchone()[0] == 0


def test_a_commit_that_fails_leaves_no_open_transaction(database: Path) -> None:
    """A commit fails when the disk is full: the next transaction must not find one that stays open forever."""

    class FullDisk(sqlite3.Connection):
        full = True

        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]
            if sql == "COMMIT" and self.full:
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(sql, *values)  # type: ignore[arg-type]

    insert = "INSERT INTO events (created, level, source, text) VALUES (0, 'info', 'x', 'y')"
    with closing(sqlite3.connect(database, isolation_level=None, factory=FullDisk)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="full"), write(connection):
            connection.execute(insert)
        connection.full = False
        with write(connection):
            connection.execute(insert)
        assert connection.execute("SELECT count(*) FROM events").fetchone()[0] == 1


def test_two_writers_that_read_before_they_write_both_succeed(database: Path) -> None:
    """With a deferred BEGIN the second would fail immediately with BUSY_SNAPSHOT; IMMEDIATE serialises them instead."""
    one, two = open_writer(database), open_writer(database)
    with closing(one), closing(two):
        one.execute("BEGIN")
        one.execute("SELECT count(*) FROM events").fetchone()
        two.execute("INSERT INTO events (created, level, source, text) VALUES (0, 'info', 'two', 'y')")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            one.execute("INSERT INTO events (created, level, source, text) VALUES (0, 'info', 'one', 'y')")
        one.execute("ROLLBACK")

        for writer, other in ((one, two), (two, one)):
            other.execute("INSERT INTO events (created, level, source, text) VALUES (0, 'info', 'x', 'y')")
            with write(writer):
                seen = writer.execute("SELECT count(*) FROM events").fetchone()[0]
                writer.execute(
                    "INSERT INTO events (created, level, source, text) VALUES (?, 'info', 'x', 'y')", (seen,)
                )
        assert one.execute("SELECT count(*) FROM events").fetchone()[0] == 5


def test_a_checkpoint_empties_the_wal_and_data_version_tells_of_other_writers(database: Path) -> None:
    """Between stages the WAL is checkpointed; a poller detects a commit without reading a table."""
    with closing(open_writer(database)) as writer, closing(open_reader(database)) as reader:
        before = data_version(reader)
        assert data_version(reader) == before
        with write(writer):
            writer.execute("INSERT INTO events (created, level, source, text) VALUES (0, 'info', 'x', 'y')")
        assert data_version(reader) != before
        checkpoint(writer)
        assert Path(f"{database}-wal").stat().st_size == 0


def test_every_refusal_is_a_store_error() -> None:
    """Callers show the text of a StoreError to the operator; a refusal of another type would be a traceback."""
    assert all(issubclass(kind, StoreError) for kind in (NotOurDatabase, StorageRefused, WorkspaceNotFound))


def test_a_second_writer_in_a_process_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """Closing any descriptor of the file would drop the process's POSIX locks.

    Another process that closes the database would then delete the WAL under an open connection, and committed rows
    would be lost.
    """
    path = tmp_path / "ours.db"
    first = open_writer(path)
    migrate(first)
    second = open_writer(path)
    reading = (
        "import sys; from pathlib import Path; from store.database.connection import open_writer;"
        "c = open_writer(Path(sys.argv[1])); print(c.execute('SELECT count(*) FROM events').fetchone()[0]); c.close()"
    )
    for expected in range(1, 4):
        for connection in (first, second):
            with write(connection):
                connection.execute("INSERT INTO events (created, level, source, text) VALUES (0, 'info', 'test', '')")
        seen = run([sys.executable, "-c", reading, str(path)], check=True)
        assert int(seen.stdout) == 2 * expected
    first.close()
    second.close()
