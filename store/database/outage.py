"""Classifies errors: temporary ones of disk and database, damage, and bugs; describes SQLite's errors to operators.

The writer waits until a temporary error is over; a bug must propagate. Knows nothing about the writers.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.errors import DatabaseFailed, NotOurDatabase, StorageRefused, StoreError

_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Primary result codes whose cause an operator can remove while the engine waits."""

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.ENOMEM})


def disk_trouble(error: BaseException) -> str | None:
    """Describe a temporary problem of the disk or the database; None when the error is something else.

    The causes of an error are examined too, because libraries wrap the system's errors.
    """
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        if isinstance(cause, sqlite3.OperationalError) and _passing(cause):
            return f"the database can't be written ({cause}); free space or make it writable; work then continues"
        if isinstance(cause, OSError) and cause.errno in _DISK:
            where = f" {cause.filename}" if cause.filename else ""
            return (
                f"the disk can't be written ({cause.strerror}{where}); "
                "free space or make it writable; work then continues"
            )
        # The safetensors library includes the system's error number only as text.
        if "(os error 28)" in str(cause):
            return "the disk can't be written (no space left on it); free space; work then continues"
        cause = cause.__cause__ or cause.__context__
    return None


def is_damage(error: sqlite3.Error) -> bool:
    """Check whether an error means that the database file is damaged."""
    return _primary_code(error) in _DAMAGED


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Convert an error of SQLite on the database at `path` to one whose message is meant for an operator."""
    code = _primary_code(error)
    if code in _DAMAGED:
        return NotOurDatabase(
            f"{path} can't be read as a database ({error}): it is damaged, and was not changed. Stop the engine, then "
            f"save what can be read with: reflectevo repair -w {path.parent}"
        )
    if code in _BUSY:
        return StorageRefused(
            f"the database is in use by another process ({error}): {path}; try again when that has finished"
        )
    if code in _PASSING:
        return StorageRefused(
            f"the database can't be read or written ({error}): {path}; check its owner, its mount and the free space, "
            "then try again"
        )
    return DatabaseFailed(
        f"the database does not accept a statement ({error}): {path}. It may have the schema of another version; "
        f"reflectevo init -w {path.parent} updates an older one and keeps everything in it"
    )


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Convert errors of SQLite in the block to a `StoreError` that names the database at `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(error, path) from error


def _primary_code(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _passing(error: sqlite3.OperationalError) -> bool:
    return _primary_code(error) in _PASSING
