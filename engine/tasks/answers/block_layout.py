r"""Brings an answer that is laid out as a block into one line: display mathematics, quotations, rules.

Models write an answer below its marker as `$$`, `42`, `$$` on three lines, inside `\[ … \]`, after a horizontal rule or
as a quotation (`> 42`). Text processing only; every expression is linear in the length of the reply.
"""

from __future__ import annotations

import re

_DISPLAY = re.compile(r"\$\$([^$]{1,4000})\$\$|\\\[((?:[^\\]|\\(?![\[\]])){1,4000})\\\]")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{(?:equation|align|aligned|gather|center)\*?\}")
_RULE = re.compile(r"(?m)^[ \t]{0,3}(?:-{3,}|\*{3,}|_{3,}|={3,})[ \t]*$")
_QUOTED = re.compile(r"(?m)^[ \t]{0,3}(?:>[ \t]?)+(?=[ \t]*\S)")


def in_one_line(text: str) -> str:
    """Return a text with display mathematics on one line each, without quotation marks and horizontal rules."""
    current = _RULE.sub("", text)
    if "\n" in text:
        current = _QUOTED.sub("", current)
    current = _ENVIRONMENT.sub("", current)
    return _DISPLAY.sub(_joined, current)


def _joined(match: re.Match[str]) -> str:
    inner = " ".join((match.group(1) or match.group(2) or "").split())
    return f"$${inner}$$" if match.group(1) is not None else rf"\[{inner}\]"
