"""Tells a disk or a database that can't be written just now from a bug, and puts errors of SQLite into words.

The first is waited out by whoever wants to write; the second has to propagate. Knows nothing of who waits.
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
"""Primary result codes that an operator can clear while the engine waits."""

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.ENOMEM})


def disk_trouble(error: BaseException) -> str | None:
    """What is wrong with the disk or the database, in an operator's words; None when the error is something else.

    Looks through the causes of an error too, because libraries wrap what the system said.
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
        # The safetensors library passes on the system's number only as text.
        if "(os error 28)" in str(cause):
            return "the disk can't be written (no space left on it); free space; work then continues"
        cause = cause.__cause__ or cause.__context__
    return None


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite found the file itself damaged."""
    return _primary_code(error) in _DAMAGED


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """What an error of SQLite on the database at `path` means for an operator."""
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
    """Raise what SQLite reports in the block as a `StoreError` that names the database at `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(error, path) from error


def _primary_code(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _passing(error: sqlite3.OperationalError) -> bool:
    return _primary_code(error) in _PASSING
