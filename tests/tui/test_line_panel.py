"""Tests the panel that keeps screens cheap: it repaints the changed cells and no others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.strip import Strip

from reflectevo_tui.text import display
from reflectevo_tui.widgets.line_panel import NEAR_CELLS, LinePanel, changed_spans


def strip(text: str) -> Strip:
    """Return a line of plain text."""
    return Strip([Segment(text)])


def test_only_what_changed_is_painted() -> None:
    assert changed_spans(strip("done 10 of 20"), strip("done 11 of 20"), 13) == [(6, 7)]
    assert changed_spans(strip("same"), strip("same"), 4) == []


def test_changes_far_apart_are_painted_apart() -> None:
    gap = "-" * NEAR_CELLS
    assert changed_spans(strip(f"a{gap}b"), strip(f"x{gap}y"), NEAR_CELLS + 2) == [
        (0, 1),
        (NEAR_CELLS + 1, NEAR_CELLS + 2),
    ]
    assert changed_spans(strip("a--b"), strip("x--y"), 4) == [(0, 4)]


def test_a_wide_character_is_never_cut() -> None:
    assert changed_spans(strip("漢字x"), strip("漢語x"), 5) == [(2, 4)]
    assert changed_spans(strip("ab字"), strip("漢字"), 4) == [(0, 2)]


@given(st.text("ab漢", min_size=1, max_size=20), st.text("ab漢", min_size=1, max_size=20))
def test_outside_the_spans_nothing_differs(before: str, after: str) -> None:
    width = max(cell_len(before), cell_len(after))
    old, new = strip(before).adjust_cell_length(width), strip(after).adjust_cell_length(width)
    spans = changed_spans(old, new, width)
    edges = [0, *(edge for span in spans for edge in span), width]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        assert old.crop(start, end).text == new.crop(start, end).text


class OnePanel(App[None]):
    """An application with a panel."""

    def compose(self) -> ComposeResult:
        yield LinePanel(id="panel")


async def test_a_line_is_cut_anew_at_another_width() -> None:
    """A layout may paint at its new width before the widget is notified: an old strip would stay truncated."""
    app = OnePanel()
    async with app.run_test(size=(40, 3)) as pilot:
        panel = app.query_one(LinePanel)
        panel.show_lines([display.line("a line of some length")])
        await pilot.pause()
        panel._strips[0] = panel.render_line(0).crop(0, 6)
        assert panel.render_line(0).text.rstrip() == "a line of some length"
        assert panel.render_line(0).cell_length == 40
