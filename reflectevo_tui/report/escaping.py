"""Escapes text of models, data sets and operators for a document, so that none of it is interpreted as markup.

Control, bidirectional and invisible characters become visible glyphs, as on the screens.
"""

from __future__ import annotations

import html
import re

from reflectevo_tui.text.display import visible

_MARKDOWN = re.compile(r"([\\`*_\[\]|~#])")
_FENCES = re.compile(r"`{3,}")

MOST_CHARACTERS = 20_000
"""Characters of a text included in a document; longer texts are truncated with a note."""


def shortened(text: str) -> str:
    """Return `text`, truncated with a note beyond `MOST_CHARACTERS`."""
    left = len(text) - MOST_CHARACTERS
    return text if left <= 0 else f"{text[:MOST_CHARACTERS]}\n[… {left:,} more characters]"


def as_html(text: str) -> str:
    """Escape text for an HTML element or attribute."""
    return html.escape(visible(shortened(text)), quote=True)


def as_markdown(text: str) -> str:
    """Escape text for a Markdown line or table cell: one line, with every potential markup character escaped.

    Angle brackets become entities, since not every Markdown renderer accepts a backslash before them.
    """
    plain = html.escape(" ".join(visible(shortened(text)).split()), quote=False)
    return _MARKDOWN.sub(r"\\\1", plain)


def as_fence(text: str) -> str:
    """Return text as a fenced Markdown block, with a fence longer than any inside the text."""
    safe = visible(shortened(text))
    fence = "`" * max(3, *(len(found) + 1 for found in _FENCES.findall(safe)), 3)
    return f"{fence}text\n{safe}\n{fence}"
