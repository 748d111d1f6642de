"""Tests Logs: the end is followed in bounded memory, the complete log is searched, hostile lines stay harmless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.logs import LogsScreen
from reflectevo_tui.state.log_reader import FOUND_LINES, LINE_CHARACTERS, TAIL_BYTES, level_of, log_files, search, tail
from reflectevo_tui.widgets.log_view import LogView


def write_log(directory: Path, name: str, lines: list[str]) -> Path:
    """Write a log with these lines."""
    path = directory / f"{name}.log"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


async def opened(app: ReflectEvoApp, pilot: Any, until: Any) -> LogView:
    """Return the screen."""
    await until(pilot, lambda: app.snapshot)
    await pilot.press("8")
    await until(pilot, lambda: isinstance(app.screen, LogsScreen))
    return app.screen.query_one(LogView)


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_the_end_is_followed_until_the_operator_scrolls(build, until, screen_text, size) -> None:
    built = build(4)
    path = write_log(built.workspace.logs, "engine", [f"INFO turn {n}" for n in range(300)])
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        view = await opened(app, pilot, until)
        await until(pilot, lambda: "INFO turn 299" in screen_text(app) and "following" in screen_text(app))
        with path.open("a") as file:
            file.write("ERROR it broke [/b]\n")
        await until(pilot, lambda: "✗ ERROR it broke [/b]" in screen_text(app))
        await pilot.press("pageup")
        assert not view.following
        with path.open("a") as file:
            file.write("INFO unseen\n")
        await pilot.pause(1.3)
        assert "INFO unseen" not in screen_text(app) and "lines below" in screen_text(app)
        await pilot.press("G")
        await until(pilot, lambda: "INFO unseen" in screen_text(app))
        await pilot.press("e")
        await pilot.press("home")
        await until(pilot, lambda: "INFO turn 0" in screen_text(app))


async def test_logs_are_switched_and_searched(build, until, screen_text) -> None:
    built = build(4)
    write_log(built.workspace.logs, "engine", ["INFO the engine"])
    write_log(built.workspace.logs, "rollout", [f"line {n} {'Needle' if n == 5 else ''}" for n in range(9000)])
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "INFO the engine" in screen_text(app))
        await pilot.press("tab")
        await until(pilot, lambda: "line 8999" in screen_text(app))
        await pilot.press("slash", *"needle", "space", *"line", "enter")
        await until(pilot, lambda: "line 5 Needle" in screen_text(app) and "line 8999" not in screen_text(app))
        await pilot.press("x")
        await until(pilot, lambda: "line 8999" in screen_text(app))


async def test_without_logs_it_says_where_they_come_from(empty, until, screen_text) -> None:
    app = ReflectEvoApp(empty)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "No log yet." in screen_text(app))
        await pilot.press("tab", "e", "G", "j", "k", "home", "x", "pageup")


def test_a_huge_log_costs_its_tail(tmp_path: Path) -> None:
    path = write_log(tmp_path, "engine", [f"{n:07d} " + "x" * 90 for n in range(20_000)])
    text = tail(path)
    assert text.cut and text.size == path.stat().st_size
    assert sum(len(line) for line in text.lines) <= TAIL_BYTES
    assert text.lines[-1].startswith("0019999") and len(text.lines[0]) == 98, "no line is cut at the start"


def test_a_search_keeps_the_newest_of_the_whole_log(tmp_path: Path) -> None:
    path = write_log(tmp_path, "engine", [f"hit {n}" for n in range(FOUND_LINES + 10)] + ["miss"])
    text = search(path, "HIT")
    assert text.cut and len(text.lines) == FOUND_LINES and text.lines[-1] == f"hit {FOUND_LINES + 9}"


def test_what_is_not_a_line_of_text_is_shown_as_one(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(b"\xff\xfe broken\n" + b"y" * 3_000_000 + b"\n10%\r20%\r100%\rdone\r\nlast without end")
    lines = tail(path).lines
    assert lines[-1] == "last without end" and lines[-2] == "done"
    assert all(len(line) <= LINE_CHARACTERS for line in search(path, "y").lines)


def test_levels_and_order(tmp_path: Path) -> None:
    for line, level in (
        ("2026 ERROR x", "error"),
        ("Traceback (most recent call last):", "error"),
        ("torch.OutOfMemoryError: no", "error"),
        ("WARNING: swap", "warning"),
        ("x.py:3: UserWarning: y", "warning"),
        ("INFO fine", "info"),
        ("the error of the model", "plain"),
    ):
        assert level_of(line) == level, line
    for name in ("train", "engine", "rollout"):
        write_log(tmp_path, name, ["x"])
    assert log_files(tmp_path)[0].name == "engine.log" and len(log_files(tmp_path)) == 3
