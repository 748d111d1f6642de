"""Makes text of models, data sets and operators safe for a document: nothing of it is read as markup.

Control, bidirectional and invisible characters become visible glyphs, as on the screens.
"""

from __future__ import annotations

import html
import re

from reflectevo_tui.text.display import visible

_MARKDOWN = re.compile(r"([\\`*_\[\]|~#])")
_FENCES = re.compile(r"`{3,}")

MOST_CHARACTERS = 20_000
"""Longest text that is put into a document whole; the rest is left out and said so."""


def shortened(text: str) -> str:
    """A text of bearable length."""
    left = len(text) - MOST_CHARACTERS
    return text if left <= 0 else f"{text[:MOST_CHARACTERS]}\n[… {left:,} more characters]"


def as_html(text: str) -> str:
    """Text for an HTML element or attribute."""
    return html.escape(visible(shortened(text)), quote=True)


def as_markdown(text: str) -> str:
    """Text for a Markdown line or table cell: one line, every character that could be markup escaped.

    Angle brackets become entities: not every reader of Markdown takes a backslash before them.
    """
    plain = html.escape(" ".join(visible(shortened(text)).split()), quote=False)
    return _MARKDOWN.sub(r"\\\1", plain)


def as_fence(text: str) -> str:
    """Text as a fenced block of Markdown, with a fence longer than any inside."""
    safe = visible(shortened(text))
    fence = "`" * max(3, *(len(found) + 1 for found in _FENCES.findall(safe)), 3)
    return f"{fence}text\n{safe}\n{fence}"
