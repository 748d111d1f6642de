"""Puts a report on disk: each file whole or not at all, readable by its owner alone."""

from __future__ import annotations

from pathlib import Path

from reflectevo_tui.launching import save
from store.errors import StorageRefused

FORMATS = ("md", "html")


def write_report(directory: Path, name: str, texts: dict[str, str]) -> list[Path]:
    """Write `name.<format>` for each text into a directory, which is made when it isn't there.

    Raises:
        StorageRefused: when it can't be written.
    """
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for kind, text in texts.items():
            path = directory / f"{name}.{kind}"
            save(path, text)
            written.append(path)
    except OSError as error:
        raise StorageRefused(
            f"the report can't be written into {directory} ({error.strerror or error}); choose another place with --to"
        ) from error
    return written
