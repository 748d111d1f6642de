"""Sanitises all text shown in widgets, folds long lines, and splits long texts into portions for paging.

Text of a model (or of a data set, a file, an exception) can contain terminal controls, bidirectional
overrides, invisible characters or markup. The functions here replace such characters by visible glyphs and
return `Content` that is never parsed as markup. Independent of screens, databases and models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.color import Color
from textual.content import Content
from textual.filter import LineFilter

PORTION_ROWS = 2_000
"""Maximum number of rows laid out in one view."""

PORTION_CHARACTERS = 20_000
"""Maximum number of characters of a growing text that are wrapped to show its end."""

ROW_CELLS = 80
"""Assumed width of a row, in terminal cells, when a portion is measured."""

FOLD_CELLS = 1_000
"""Longest line in characters; longer ones are folded, so that no single line makes the layout slow."""

LINE_CHARACTERS = 1_000
"""Maximum characters of one part of a line: no terminal shows more, and sanitising a complete text would be slow."""

TAB = "    "
"""Replacement of a tab character."""

_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"  # soft hyphen, joiners, Arabic format characters
    "\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # fillers and separators without a glyph
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # zero width, line separators, bidirectional
    "\ufe00-\ufe0f\ufeff\ufff0-\ufffb\ufffe\uffff"  # variation selectors, byte order mark, annotations
    "\ud800-\udfff"  # lone surrogates
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"  # tag characters, more variation selectors
    "]"
)
_BLANKS = re.compile(r"[ \t\r\n]+")


def _glyph(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"‹{code:X}›"


def visible(text: str) -> str:
    """Return `text` with every character that could control a terminal, or be invisible, as a visible glyph.

    Newlines are kept, tabs become spaces. Idempotent.
    """
    cleaned = text.replace("\r\n", "\n").replace("\t", TAB)
    return "\n".join(_UNSAFE.sub(_glyph, line) for line in cleaned.split("\n"))


def one_line(text: str) -> str:
    """Return the start of a text, sanitised and on one line: line breaks and runs of blanks become one space."""
    return visible(_BLANKS.sub(" ", text[:LINE_CHARACTERS]).strip(" "))


def fitted(text: str, width: int) -> str:
    """Return `one_line` text padded or cut to exactly `width` terminal cells, with an ellipsis where cut."""
    plain = one_line(text[: 4 * max(width, 1)])
    if cell_len(plain) > width or len(text) > 4 * max(width, 1):
        return set_cell_size(plain, width - 1) + "…" if width > 0 else ""
    return set_cell_size(plain, width)


Part = str | tuple[str, str] | Content
"""A part of a line: text, text with a style, or content returned by this module."""


def _piece(text: str) -> str:
    return visible(text[:LINE_CHARACTERS]).replace("\n", " ")


def line(*parts: Part) -> Content:
    """Return one line of safe content from parts; a style is a Textual style such as `bold $success`."""
    safe: list[str | tuple[str, str] | Content] = []
    for part in parts:
        if isinstance(part, Content):
            safe.append(part)
        elif isinstance(part, tuple):
            safe.append((_piece(part[0]), part[1]))
        else:
            safe.append(_piece(part))
    return Content.assemble(*safe, strip_control_codes=False)


def text(body: str, style: str = "") -> Content:
    """Return safe content of several lines, long ones folded. For texts of limited size; else use `portion`."""
    return Content.styled("\n".join(folded(body)), style, strip_control_codes=False)


def stacked(lines: Iterable[Content]) -> Content:
    """Join content with line breaks."""
    return Content("\n").join(lines)


def joined(parts: Iterable[Content]) -> Content:
    """Concatenate content."""
    return Content("").join(parts)


def folded(body: str, width: int = FOLD_CELLS) -> list[str]:
    """Return the sanitised lines of a text, each at most `width` characters long."""
    found: list[str] = []
    for one in visible(body).split("\n"):
        found.extend(one[start : start + width] for start in range(0, len(one), width))
        if not one:
            found.append("")
    return found


def wrapped_tail(body: str, width: int, height: int) -> list[Content]:
    """Return the end of a growing text wrapped at `width` cells, at most `height` lines.

    It scrolls by half a pane at a time instead of by a line: over SSH an unchanged line costs no bytes.
    """
    if width < 1 or height < 1:
        return []
    lines = text(body[-PORTION_CHARACTERS:]).wrap(width)
    jump = max(height // 2, 1)
    over = max(len(lines) - height, 0)
    return lines[-(-over // jump) * jump :]


@dataclass(frozen=True, slots=True)
class Portion:
    """A part of a long text. `number` counts from 0."""

    content: Content
    number: int
    of: int


def portion(body: str, number: int = 0, rows: int = PORTION_ROWS, style: str = "") -> Portion:
    """Return part `number` of a text, about `rows` rows long; a number beyond the end gives the last part."""
    parts: list[list[str]] = [[]]
    taken = 0
    for one in folded(body):
        needed = 1 + len(one) // ROW_CELLS
        if parts[-1] and taken + needed > rows:
            parts.append([])
            taken = 0
        parts[-1].append(one)
        taken += needed
    wanted = min(max(number, 0), len(parts) - 1)
    return Portion(Content.styled("\n".join(parts[wanted]), style, strip_control_codes=False), wanted, len(parts))


def _room(match: re.Match[str]) -> str:
    return " " * cell_len(match.group())


class SanitisingFilter(LineFilter):
    """Removes characters that `visible` would replace from rendered lines, as a second line of defence.

    An input field, for example, shows its value unsanitised. Removed characters of non-zero width become blanks.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments without control, bidirectional, invisible or tag characters."""
        if not any(_UNSAFE.search(segment.text) for segment in segments):
            return segments
        return [
            segment if segment.control else Segment(_UNSAFE.sub(_room, segment.text), segment.style)
            for segment in segments
        ]
