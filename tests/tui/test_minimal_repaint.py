"""Tests that a repaint writes only the changed cells, and never splits wide characters."""

from __future__ import annotations

import gc

import pytest
from rich.console import Console
from rich.segment import Segment
from textual._compositor import ChopsUpdate
from textual.strip import Strip

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.terminal.minimal_repaint import ExactUpdate
from tests.support.built_workspaces import Builder
from tests.support.screen_text import screen_text
from tests.tui.conftest import until


def written(text: str, first: int, last: int, *, exact: bool = True) -> str:
    """Return the output of an update of some cells of a line."""
    kind = ExactUpdate if exact else ChopsUpdate
    update = kind([{0: Strip([Segment(text)])}], [(0, first, last)], [[len(text)]])
    return update.render_segments(Console(color_system=None))


def test_only_the_change_is_written() -> None:
    assert written("run demo 00:14:41", 16, 17).endswith("H1")
    assert "\x1b[1;17H" in written("run demo 00:14:41", 16, 17)
    assert written("run demo 00:14:41", 16, 17, exact=False).endswith("00:14:41"), "else ours can go"


@pytest.mark.parametrize(("first", "last"), [(3, 4), (5, 6)])
def test_lines_with_wide_characters_are_written_from_their_start(first: int, last: int) -> None:
    assert written("漢字 abc", first, last).startswith("\x1b[1;1H漢")


async def test_lines_that_were_painted_are_freed_without_the_collector(build: Builder) -> None:
    """Otherwise they accumulate between two idle moments: a seventh of the memory after a few minutes in the list."""
    app = ReflectEvoApp(build(60).workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("f2")
        await until(pilot, lambda: "Question" in screen_text(app))
        gc.collect()
        gc.disable()
        try:
            for key in ("down", "up") * 10:
                await pilot.press(key)
                await pilot.pause(0.05)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = [one for one in gc.garbage if type(one) is Strip]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert len(left) < 20, f"{len(left)} of twenty repaints"


def test_lines_are_divided_as_before() -> None:
    strip = Strip([Segment("漢字 abc")])
    pieces = [[one.text for one in strip.divide(cuts)] for cuts in ([4, 8], [8], [2, 4, 8], [8, 20])]
    assert pieces == [["漢字", " abc"], ["漢字 abc"], ["漢", "字", " abc"], ["漢字 abc"]]
    assert strip.divide(iter([8]))[0] is strip
