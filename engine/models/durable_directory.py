"""Directories that are on disk whole or not at all: fsync, rename, marker files.

Knows nothing of what the directories hold.
"""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Flush one file or directory to disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Flush every file and directory under `root`, and `root` itself. Raises OSError."""
    for directory, _, names in os.walk(root, topdown=False):
        for name in names:
            sync(Path(directory, name))
        sync(Path(directory))


def publish(temporary: Path, destination: Path) -> None:
    """Flush `temporary` and rename it to `destination`, so that `destination` appears whole or not at all.

    Both must lie on one file system. Raises OSError when `destination` exists and isn't an empty directory.
    """
    sync_tree(temporary)
    temporary.rename(destination)
    sync(destination.parent)


def mark(directory: Path, name: str) -> None:
    """Create the empty marker file `name` in `directory`, on disk when this returns. Raises OSError."""
    descriptor = os.open(directory / name, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync(directory)
