"""Tests that `display` removes every character that could control a terminal or be invisible in it."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color

from reflectevo_tui.text import display

HOSTILE = {
    "escape": "a\x1b[31mred\x1b[0m",
    "clipboard": "\x1b]52;c;aGVsbG8=\x07",
    "c1": "a\x9b31mb\x85c",
    "delete": "a\x7fb",
    "nul": "a\x00b",
    "bidi": "a\u202egnirts\u202c\u2066x\u2069",
    "zero width": "pass\u200bword\u200d\ufeff",
    "tags": "x\U000e0041\U000e0042",
    "surrogate": "a\ud800b",
    "selectors": "✔\ufe0f",
    "separators": "a\u2028b\u2029c",
}

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=200) | st.sampled_from(list(HOSTILE.values()))


def is_safe(text: str) -> bool:
    """Check for control, format, surrogate and separator characters other than a newline."""
    return all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text if c != "\n")


def test_hostile_characters_become_glyphs() -> None:
    shown = {name: display.visible(text) for name, text in HOSTILE.items()}
    assert all(is_safe(text) for text in shown.values())
    assert shown["escape"] == "a␛[31mred␛[0m"
    assert shown["nul"] == "a␀b"
    assert shown["delete"] == "a␡b"
    assert shown["c1"] == "a‹9B›31mb‹85›c"
    assert shown["bidi"].startswith("a‹202E›gnirts‹202C›")
    assert shown["surrogate"] == "a‹D800›b"


def test_newlines_and_tabs_stay_readable() -> None:
    assert display.visible("a\tb\r\nc\nd\re") == "a    b\nc\nd␍e"


@given(ANY_TEXT)
def test_any_text_is_safe_and_stays_the_same_when_shown_twice(text: str) -> None:
    once = display.visible(text)
    assert is_safe(once)
    assert display.visible(once) == once


@given(ANY_TEXT, st.integers(1, 60))
def test_fitted_has_exactly_the_width(text: str, width: int) -> None:
    fitted = display.fitted(text, width)
    assert is_safe(fitted) and "\n" not in fitted
    assert cell_len(fitted) == width


@given(ANY_TEXT)
def test_a_line_is_one_line_and_takes_no_markup(text: str) -> None:
    content = display.line((text, "bold"), "[/b]", "[@click=app.bell]x[/]")
    assert "\n" not in content.plain
    assert "[/b][@click=app.bell]x[/]" in content.plain


def test_long_lines_are_folded_and_paged_through() -> None:
    body = "x" * 200_000
    first = display.portion(body, 0, rows=500)
    assert first.of > 1
    assert max(len(line) for line in first.content.plain.split("\n")) <= display.FOLD_CELLS
    every = "".join(display.portion(body, n, rows=500).content.plain.replace("\n", "") for n in range(first.of))
    assert every == body


def test_portions_cover_a_text_of_many_lines_once() -> None:
    body = "\n".join(str(n) for n in range(7_000))
    parts = [display.portion(body, n) for n in range(display.portion(body).of)]
    assert "\n".join(part.content.plain for part in parts) == body
    assert all(len(part.content.plain.split("\n")) <= display.PORTION_ROWS for part in parts)
    assert display.portion(body, 99).number == parts[-1].number


@given(ANY_TEXT, st.integers(1, 40), st.integers(1, 6))
def test_the_tail_of_a_growing_text_fits_its_pane(text: str, width: int, height: int) -> None:
    tail = display.wrapped_tail(text, width, height)
    assert len(tail) <= height
    assert all(is_safe(line.plain) for line in tail)


@given(ANY_TEXT)
def test_the_last_net_drops_controls_and_keeps_the_width(text: str) -> None:
    segments = [Segment(text), Segment("kept")]
    caught = display.SanitisingFilter().apply(segments, Color(0, 0, 0))
    joined = "".join(segment.text for segment in caught)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in joined)
    assert joined.endswith("kept")
