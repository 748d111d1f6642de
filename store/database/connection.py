"""Opens the database; no other module does.

Readers can't write, and decode text that isn't UTF-8 with replacement characters instead of failing; writers require
WAL mode. When opening is refused, the file is left unchanged.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from store.database.outage import store_error, store_errors
from store.errors import NotOurDatabase, StorageRefused, StoreError, WorkspaceNotFound

APPLICATION_ID = 0x52454658
"""`PRAGMA application_id` of this program's databases ("REFX")."""

SCHEMA_VERSION = 8
"""`PRAGMA user_version` that this code reads and writes; a greater one was written by a newer version."""

BUSY_TIMEOUT_MS = 30_000
"""How long a statement waits for another writer, in milliseconds."""

_NETWORK_FILE_SYSTEMS = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFE534D42: "SMB2",
    0xFF534D42: "CIFS",
    0x01021997: "9p",
    0x5346414F: "AFS",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x19830326: "BeeGFS",
    0x47504653: "GPFS",
}


def _network_file_system(directory: Path) -> str | None:
    """Return the name of the network file system that a directory is on, or None for a local one."""
    if not sys.platform.startswith("linux"):
        return None
    # os.statvfs has no f_type, so libc is called: the first field of struct statfs is a long.
    buffer = (ctypes.c_long * 64)()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(directory), ctypes.byref(buffer)) != 0:
        return None
    return _NETWORK_FILE_SYSTEMS.get(buffer[0] & 0xFFFFFFFF)


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise store_error(error, path) from error
    if application != APPLICATION_ID and tables:
        raise NotOurDatabase(f"{path} is a database of another program and was not changed. Choose another workspace")
    if version > SCHEMA_VERSION:
        raise NotOurDatabase(
            f"{path} was written by a newer version (schema {version}, this is {SCHEMA_VERSION}); "
            "it was not changed. Upgrade reflectevo to open it"
        )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise StorageRefused(f"{path} can't be reached ({error.strerror}); check the owner of its directory") from error


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a read-only connection that never blocks a writer.

    Several threads may share the connection if only one uses it at a time.

    Raises:
        WorkspaceNotFound: there is no database at `path`.
        NotOurDatabase: the file is damaged, of another program, or of a newer version.
    """
    if not _exists(path):
        raise WorkspaceNotFound(f"there is no database at {path}; create a workspace with: reflectevo init")
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro",
            uri=True,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    connection.text_factory = _decode
    connection.row_factory = sqlite3.Row
    try:
        _check_ours(connection, path)
    except StoreError:
        connection.close()
        raise
    return connection


def require_local(path: Path) -> None:
    """Refuse a database on a network file system, where processes of two machines can't share SQLite's WAL.

    Raises:
        StorageRefused: the message names the file system.
    """
    network = _network_file_system(path.parent)
    if network:
        raise StorageRefused(
            f"{path.parent} is on {network}; SQLite's WAL needs a local disk. Choose a local workspace"
        )


def open_writer(path: Path, *, durable: bool = False) -> sqlite3.Connection:
    """Open a connection that may write; creates the file (mode 0600) if it doesn't exist.

    Args:
        path: the database file.
        durable: True sets `synchronous=FULL`, for directives, policies and stage ends; False sets NORMAL, which loses
            nothing when a process is killed, but may lose the last transactions on a power failure.

    Raises:
        StorageRefused: the file is on a network file system or read-only, or WAL mode isn't available.
        NotOurDatabase: the file is damaged, of another program, or of a newer version.
    """
    require_local(path)
    try:
        if path.exists() and path.stat().st_size:
            # Checked read-only first: a writer checkpoints the WAL on closing, even in a file of another program.
            open_reader(path).close()
        # An existing file is never opened directly here: closing any descriptor of it releases all POSIX locks that
        # the process holds on it, including those of its other SQLite connections.
        if not path.exists():
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        os.chmod(path, 0o600)
    except OSError as error:
        raise StorageRefused(f"{path} can't be written ({error.strerror}); check owner, mount and space") from error
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False)
    connection.text_factory = _decode
    connection.row_factory = sqlite3.Row
    try:
        _check_ours(connection, path)
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StorageRefused(f"{path}: WAL was refused (journal mode {mode}); use a local, writable disk")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_size_limit = 67108864")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise store_error(error, path) from error
    except StoreError:
        connection.close()
        raise
    return connection


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a read-only connection for the block, and close it afterwards.

    Raises:
        StoreError: it can't be opened, or SQLite reports an error in the block.
    """
    with store_errors(path), closing(open_reader(path)) as connection:
        yield connection


@contextmanager
def writing(path: Path, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a connection that may write for the block, and close it afterwards; `durable` as in `open_writer`.

    Raises:
        StoreError: it can't be opened, or SQLite reports an error in the block.
    """
    with store_errors(path), closing(open_writer(path, durable=durable)) as connection:
        yield connection


@contextmanager
def write(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run the block as a write transaction, rolled back if it raises.

    It begins with IMMEDIATE, because a deferred transaction that has read first can fail with BUSY_SNAPSHOT whatever
    the timeout.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def read(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run the block in one read transaction (snapshot). Keep it short: while it is open the WAL grows."""
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        connection.execute("COMMIT")


def checkpoint(connection: sqlite3.Connection) -> None:
    """Move the WAL's content into the database and truncate it; called between stages."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the version of the schema that a database has; `SCHEMA_VERSION` if it is current."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when another connection commits; takes microseconds."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version


def storable(text: str) -> str:
    """Return `text` with each lone surrogate, which SQLite can't store, replaced by U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
