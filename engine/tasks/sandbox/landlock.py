"""Landlock rules: unprivileged restriction of the files that a process may access. Independent of Python's files."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_CREATE_RULESET, _ASK_VERSION = 444, 1

_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14

_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""Number of file access rights from each Landlock version on; their bits are consecutive."""

_NETWORK_FROM, _NETWORK = 4, 0b11
_SCOPED_FROM, _SCOPED = 6, 0b11
"""Restrictions of TCP bind and connect, and of abstract sockets and signals to processes outside, with the versions
that introduced them."""

TRUNCATION_FROM = 3
"""The version from which truncating a file is an access right of its own."""


@cache
def version() -> int:
    """Return the version of the kernel's Landlock; 0 if it is missing or disabled."""
    answer = int(
        ctypes.CDLL(None).syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_long(0), ctypes.c_long(_ASK_VERSION))
    )
    return max(answer, 0)


def attributes(abi: int) -> bytes:
    """Return a `struct landlock_ruleset_attr` that handles everything this version of Landlock can restrict."""
    rights = max(count for since, count in _FILE_RIGHTS.items() if since <= abi)
    fields = [(1 << rights) - 1]
    if abi >= _NETWORK_FROM:
        fields.append(_NETWORK)
    if abi >= _SCOPED_FROM:
        fields.append(_SCOPED)
    return struct.pack(f"={len(fields)}Q", *fields)


def readable(paths: Iterable[Path]) -> list[tuple[str, int]]:
    """Return rules that permit reading these files, and these folders recursively, but not executing or writing."""
    return [(str(path), _READ_FILE | (_READ_DIR if path.is_dir() else 0)) for path in paths]


def discarding(path: Path, abi: int) -> tuple[str, int]:
    """Return the rule for a device like /dev/null, which may also be opened for writing."""
    return (str(path), _READ_FILE | _WRITE_FILE | (_TRUNCATE if abi >= TRUNCATION_FROM else 0))
