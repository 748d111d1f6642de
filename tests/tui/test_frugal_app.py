"""A change costs itself: nothing left of it is written again, and wide characters are never cut."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.segment import Segment
from textual._compositor import ChopsUpdate
from textual.strip import Strip

from reflectevo_tui.frugal_app import ExactUpdate


def written(text: str, first: int, last: int, *, exact: bool = True) -> str:
    """What an update of some cells of a line writes."""
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
