"""Reads log files from their end, within a fixed amount of memory, and searches them whole. For thread workers.

Knows files and lines, nothing of widgets.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TAIL_BYTES = 256 * 1024
"""How much of the end of a log is kept; a line cut by it is left out."""

FOUND_LINES = 2_000
"""Most lines a search keeps: the newest."""

LINE_CHARACTERS = 4_000
"""A longer line is cut: a log line of megabytes is a progress bar or an accident."""

Level = Literal["error", "warning", "info", "plain"]

_LEVELS: tuple[tuple[Level, re.Pattern[str]], ...] = (
    ("error", re.compile(r"\b(ERROR|CRITICAL|FATAL)\b|^Traceback |^[\w.]*(?:Error|Exception)\b|^E\d{4} ")),
    ("warning", re.compile(r"\bWARN(ING)?\b|\w*Warning:|^W\d{4} ")),
    ("info", re.compile(r"\b(INFO|DEBUG)\b|^I\d{4} ")),
)


def level_of(line: str) -> Level:
    """The level that a log line says it has."""
    return next((level for level, pattern in _LEVELS if pattern.search(line)), "plain")


@dataclass(frozen=True, slots=True)
class LogText:
    """Lines of a log as it stood at `size` bytes. `cut` says that earlier lines exist that are not here."""

    path: Path
    size: int
    lines: tuple[str, ...]
    cut: bool
    search: str = ""


def log_files(directory: Path) -> list[Path]:
    """The logs of a workspace, the supervisor's first, then the newest."""
    try:
        found = [(path, path.stat().st_mtime) for path in directory.glob("*.log")]
    except OSError:
        return []
    return [path for path, _ in sorted(found, key=lambda one: (one[0].name != "engine.log", -one[1], one[0].name))]


def size_of(path: Path) -> int:
    """Bytes of a log; 0 when it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _lines(raw: bytes) -> list[str]:
    # A progress bar rewrites its line with carriage returns: only its last state is worth a line.
    text = raw.decode("utf-8", "replace")
    return [line.rstrip("\r").rsplit("\r", 1)[-1][:LINE_CHARACTERS] for line in text.split("\n")]


def tail(path: Path, most: int = TAIL_BYTES) -> LogText:
    """The end of a log, whole lines only. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - most, 0))
        lines = _lines(file.read(most))
    cut = size > most
    if cut:
        lines = lines[1:]
    if lines and not lines[-1]:
        lines.pop()
    return LogText(path, size, tuple(lines), cut)


def search(path: Path, words: str, most: int = FOUND_LINES) -> LogText:
    """The newest lines of a whole log that hold all words, whatever their case. Raises OSError."""
    wanted = [word.casefold() for word in words.split()]
    kept: deque[str] = deque(maxlen=most)
    found = size = 0
    with path.open("rb") as file:
        # Read by pieces: a log without a line break must not fill the memory.
        while raw := file.readline(1024 * 1024):
            size += len(raw)
            for line in _lines(raw.rstrip(b"\n")):
                if all(word in line.casefold() for word in wanted):
                    found += 1
                    kept.append(line)
    return LogText(path, size, tuple(kept), found > len(kept), words)
