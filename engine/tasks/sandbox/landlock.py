"""Landlock: which files a process may touch, asked of the kernel without privileges. Knows nothing of Python."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_CREATE_RULESET, _ASK_VERSION = 444, 1

_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14

_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights on files each version knows; the bits follow one another."""

_NETWORK_FROM, _NETWORK = 4, 0b11
_SCOPED_FROM, _SCOPED = 6, 0b11
"""Bind and connect; abstract sockets and signals of processes outside."""

TRUNCATION_FROM = 3
"""The version from which emptying a file counts as writing it."""


@cache
def version() -> int:
    """Version of the kernel's Landlock; 0 where there is none or it is switched off."""
    answer = int(
        ctypes.CDLL(None).syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_long(0), ctypes.c_long(_ASK_VERSION))
    )
    return max(answer, 0)


def attributes(abi: int) -> bytes:
    """`struct landlock_ruleset_attr` that governs everything this version of Landlock can govern."""
    rights = max(count for since, count in _FILE_RIGHTS.items() if since <= abi)
    fields = [(1 << rights) - 1]
    if abi >= _NETWORK_FROM:
        fields.append(_NETWORK)
    if abi >= _SCOPED_FROM:
        fields.append(_SCOPED)
    return struct.pack(f"={len(fields)}Q", *fields)


def readable(paths: Iterable[Path]) -> list[tuple[str, int]]:
    """Rules to read these files, and these folders with all they hold. Nothing may be executed or written."""
    return [(str(path), _READ_FILE | (_READ_DIR if path.is_dir() else 0)) for path in paths]


def discarding(path: Path, abi: int) -> tuple[str, int]:
    """The rule for a device like /dev/null, that may be opened for writing too."""
    return (str(path), _READ_FILE | _WRITE_FILE | (_TRUNCATE if abi >= TRUNCATION_FROM else 0))
