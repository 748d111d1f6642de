"""Reads the end of log files and searches complete ones, in bounded memory. For thread workers.

Independent of widgets.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TAIL_BYTES = 256 * 1024
"""Bytes read from the end of a log; a partial first line is dropped."""

FOUND_LINES = 2_000
"""Maximum number of lines returned by a search: the newest."""

LINE_CHARACTERS = 4_000
"""Maximum characters of a line; longer ones are cut, since a line of megabytes is a progress bar or an accident."""

Level = Literal["error", "warning", "info", "plain"]

_LEVELS: tuple[tuple[Level, re.Pattern[str]], ...] = (
    ("error", re.compile(r"\b(ERROR|CRITICAL|FATAL)\b|^Traceback |^[\w.]*(?:Error|Exception)\b|^E\d{4} ")),
    ("warning", re.compile(r"\bWARN(ING)?\b|\w*Warning:|^W\d{4} ")),
    ("info", re.compile(r"\b(INFO|DEBUG)\b|^I\d{4} ")),
)


def level_of(line: str) -> Level:
    """Return the level given in a log line."""
    return next((level for level, pattern in _LEVELS if pattern.search(line)), "plain")


@dataclass(frozen=True, slots=True)
class LogText:
    """Lines of a log when it had `size` bytes. `cut` is True when earlier lines are not included."""

    path: Path
    size: int
    lines: tuple[str, ...]
    cut: bool
    search: str = ""


def log_files(directory: Path) -> list[Path]:
    """Return the logs of a workspace, the supervisor's first, then the newest."""
    try:
        found = [(path, path.stat().st_mtime) for path in directory.glob("*.log")]
    except OSError:
        return []
    return [path for path, _ in sorted(found, key=lambda one: (one[0].name != "engine.log", -one[1], one[0].name))]


def size_of(path: Path) -> int:
    """Return the size of a log in bytes; 0 when it does not exist."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _lines(raw: bytes) -> list[str]:
    # A progress bar rewrites its line with carriage returns: only its last state is kept.
    text = raw.decode("utf-8", "replace")
    return [line.rstrip("\r").rsplit("\r", 1)[-1][:LINE_CHARACTERS] for line in text.split("\n")]


def tail(path: Path, most: int = TAIL_BYTES) -> LogText:
    """Return the end of a log, complete lines only. Raises OSError."""
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
    """Return the newest lines of a complete log that contain all words, ignoring case. Raises OSError."""
    wanted = [word.casefold() for word in words.split()]
    kept: deque[str] = deque(maxlen=most)
    found = size = 0
    with path.open("rb") as file:
        # Read in chunks: a log without line breaks must not fill the memory.
        while raw := file.readline(1024 * 1024):
            size += len(raw)
            for line in _lines(raw.rstrip(b"\n")):
                if all(word in line.casefold() for word in wanted):
                    found += 1
                    kept.append(line)
    return LogText(path, size, tuple(kept), found > len(kept), words)
