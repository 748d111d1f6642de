"""Tells a disk or a database that can't be written just now from a bug.

The first is waited out by whoever wants to write; the second has to propagate. Knows nothing of who waits.
"""

from __future__ import annotations

import errno
import sqlite3

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
            return f"the database can't be written ({cause}); free space or make it writable, then it goes on"
        if isinstance(cause, OSError) and cause.errno in _DISK:
            where = f" {cause.filename}" if cause.filename else ""
            return (
                f"the disk can't be written ({cause.strerror}{where}); free space or make it writable, then it goes on"
            )
        # The safetensors library passes on the system's number only as text.
        if "(os error 28)" in str(cause):
            return "the disk can't be written (no space left on it); free space, then it goes on"
        cause = cause.__cause__ or cause.__context__
    return None


def _passing(error: sqlite3.OperationalError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF) in _PASSING
