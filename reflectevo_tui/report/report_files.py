"""Writes a report to disk: each file atomically, readable only by its owner."""

from __future__ import annotations

import re
from pathlib import Path

from store.errors import StorageRefused
from store.workspace import write_file


def write_report(directory: Path, name: str, texts: dict[str, str]) -> list[Path]:
    """Write `name.<format>` for each text into a directory, creating the directory when missing.

    Raises:
        StorageRefused: when a file can't be written.
    """
    written = []
    stem = re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip(".") or "report"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageRefused(
            f"the report can't be written into {directory} ({error.strerror or error}); choose another place with --to"
        ) from error
    for kind, text in texts.items():
        path = directory / f"{stem}.{kind}"
        write_file(path, text)
        written.append(path)
    return written
