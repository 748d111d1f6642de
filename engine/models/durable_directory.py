"""Directories that are written atomically and durably: fsync, rename, marker files.

Independent of the contents of the directories.
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
    """Flush `temporary` and rename it to `destination`, so that `destination` appears atomically.

    Both must be on the same file system. Raises OSError when `destination` exists and is not an empty directory.
    """
    sync_tree(temporary)
    temporary.rename(destination)
    sync(destination.parent)


def mark(directory: Path, name: str) -> None:
    """Create the empty marker file `name` in `directory` and flush it to disk. Raises OSError."""
    descriptor = os.open(directory / name, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync(directory)
