"""Tests the progress that `run` prints without a terminal: one line for each change, none without one."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from reflectevo_tui.engine_client import follow
from store.workspace import Workspace


def status(state: str, done: int, *, over: bool = False) -> dict[str, Any]:
    """Return the part of a status that the lines show."""
    stage = {"name": "train", "state": state, "done": done, "total": 3, "note": ""}
    iteration = {"id": 1, "title": "iteration 1", "stages": [stage], "over": over}
    return {"iteration": iteration}


def test_a_line_is_printed_only_when_something_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training step of minutes printed the same line over and over."""
    seen: Iterator[dict[str, Any]] = iter(
        [status("running", 0)] * 3
        + [status("running", 1)] * 3
        + [status("done", 3)] * 2
        + [status("done", 3, over=True)]
    )
    monkeypatch.setattr(follow, "collect_status", lambda _: next(seen))
    monkeypatch.setattr(follow, "_over", lambda found: found["iteration"]["over"])
    monkeypatch.setattr(follow, "_LINE_SECONDS", 0.0)
    monkeypatch.setattr(follow, "_POLL_SECONDS", 0.0)
    console = Console(file=StringIO(), width=200)
    follow._with_lines(Workspace(Path("w")), console, status("pending", 0))
    printed = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split()[2:] for line in printed] == [
        ["train", "running", "0/3"],
        ["train", "running", "1/3"],
        ["train", "done", "3/3"],
    ]
