r"""Normalises mathematical text of models to one LaTeX form, and splits it at its outermost structure.

Text processing only: `√2`, `1/2`, `\dfrac12` and `\left(` are rewritten for a LaTeX parser; lists, brackets and
equations are split at their outermost level. Does not interpret the meaning of an answer.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_SYMBOLS = {
    "−": "-",
    "–": "-",
    "—": "-",
    "×": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "÷": r"\div ",
    "±": r"\pm ",
    "∓": r"\mp ",
    "√": r"\sqrt ",
    "π": r"\pi ",
    "∞": r"\infty ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "≈": r"\approx ",
    "∈": r"\in ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∅": r"\emptyset ",
    "θ": r"\theta ",
    "α": r"\alpha ",
    "β": r"\beta ",
    "°": r"^\circ ",
    "⁄": "/",
    "，": ",",
    "．": ".",
    "％": "%",
}
_SPACES = {r"\!": "", "{,}": ",", r"\,": " ", r"\;": " ", r"\:": " ", r"\ ": " ", "~": " "}
_SPACING = re.compile(r"(?<!\\)\\[!,;: ]|\{,\}|~")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SYNONYMS = {
    r"\varnothing": r"\emptyset",
    r"\leq": r"\le",
    r"\geq": r"\ge",
    r"\leqslant": r"\le",
    r"\geqslant": r"\ge",
    r"\%": "%",
    r"\$": "$",
}
_SYNONYM = re.compile(r"\\(?:varnothing|leqslant|geqslant|leq|geq)(?![a-zA-Z])|\\[%$]")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_FRACTION = re.compile(r"\\[dtc]?frac(?![a-zA-Z])\s*")
_PLACED = re.compile(r"(\{[^{}]*\}|\\[a-zA-Z]+|\S)\s*")
_SIZED = re.compile(r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|limits)(?![a-zA-Z])\s*")
_TEXT = re.compile(r"\\(?:text|mathrm|textrm|textnormal|mbox|operatorname|textbf|mathbf|textit|emph)\s*\{([^{}]*)\}")
_DELIMITED = re.compile(r"(?<!\\)\$(?!\s)([^$]*[^$\s,\\])(?<!\\)\$")
"""Mathematics delimited by `$` within a text; does not match the prices in `$5, $6`."""
_PLAIN_ROOT = re.compile(r"(?<![\\a-zA-Z])sqrt\s*\(([^()]*)\)")
_PLAIN_NAME = re.compile(r"(?<![\\a-zA-Z])(pi|sin|cos|tan|ln|log|infty)(?![a-zA-Z])")
_UNION_WORD = re.compile(r"(?<=[)\]}])\s{0,4}(?:U|\\text\{\s?(?:U|union)\s?\}|union)\s{0,4}(?=[(\[{])")
_POWER = re.compile(r"\^\s*(-?\d{2,}|-\d)")
_UNWRAPPED_ROOT = re.compile(r"\\sqrt\s+(\d+|[a-zA-Z])|\\sqrt(\d)")

OPENING, CLOSING = "([{", ")]}"


def tidy(text: str) -> str:
    r"""Normalise a text to plain LaTeX: no sizes or thin spaces, `\frac` with braces, symbols as commands."""
    current = _DELIMITED.sub(r"\1", _translated(text))
    current = _SPACING.sub(lambda match: _SPACES[match.group()], current)
    current = _SIZED.sub("", current)
    current = _SYNONYM.sub(lambda match: _SYNONYMS[match.group()], current)
    current = _UNION_WORD.sub(r" \\cup ", current)
    current = _PLAIN_ROOT.sub(r"\\sqrt{\1}", current)
    current = re.sub(r"(?i)(?<![\\a-zA-Z])infinity(?![a-zA-Z])", r"\\infty ", current)
    current = _PLAIN_NAME.sub(r"\\\1 ", current)
    current = re.sub(r"(?<=[\w)}])\s*\*\*\s*(?=[\w({-])", "^", current)
    current = _POWER.sub(r"^{\1}", current)
    current = _UNWRAPPED_ROOT.sub(lambda match: rf"\sqrt{{{match.group(1) or match.group(2)}}}", current)
    return " ".join(_with_braces(current).split())


def without_text(text: str) -> str:
    r"""Replace `\text{…}` and similar commands by their content."""
    while (shorter := _TEXT.sub(r" \1 ", text)) != text:
        text = shorter
    return " ".join(text.split())


class Bracketed(NamedTuple):
    """A text enclosed by one pair of brackets."""

    opening: str
    inner: str
    closing: str


def bracketed(text: str) -> Bracketed | None:
    r"""Split a text into its enclosing brackets and their content; None for texts such as `(a)(b)`. `[1,2)` counts."""
    whole = text.strip()
    if whole.startswith(r"\{") and whole.endswith(r"\}") and whole.count(r"\{") == 1:
        return Bracketed("{", whole[2:-2].strip(), "}")
    if len(whole) < 2 or whole[0] not in OPENING or whole[-1] not in CLOSING or whole[-2] == "\\":
        return None
    depth = 0
    for position, character in enumerate(whole):
        depth += (character in OPENING) - (character in CLOSING)
        if depth == 0 and position < len(whole) - 1:
            return None
    return Bracketed(whole[0], whole[1:-1].strip(), whole[-1]) if depth == 0 else None


def split_outside(text: str, separator: str) -> list[str]:
    """Split a text at the separators (a regex) outside brackets; empty parts are dropped."""
    pattern = re.compile(separator)
    parts, start, position, depth = [], 0, 0, 0
    while position < len(text):
        character = text[position]
        depth += (character in OPENING) - (character in CLOSING)
        match = pattern.match(text, position) if depth <= 0 else None
        if match and match.end() > position:
            parts.append(text[start:position])
            start = position = match.end()
        else:
            position += 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _translated(text: str) -> str:
    """Translate Unicode's mathematical characters to LaTeX."""
    pieces = []
    for character in text:
        if character in _SYMBOLS:
            pieces.append(_SYMBOLS[character])
        elif unicodedata.decomposition(character).startswith("<fraction>"):
            over, _, under = unicodedata.normalize("NFKC", character).partition("⁄")
            pieces.append(rf"\frac{{{over}}}{{{under}}}" if over and under else character)
        else:
            pieces.append(character)
    joined = "".join(pieces)
    return _SUPERSCRIPT.sub(lambda match: f"^{{{match.group().translate(_SUPERSCRIPTS)}}}", joined)


def _with_braces(text: str) -> str:
    r"""Rewrite every fraction as `\frac{…}{…}`, e.g. `\dfrac12` and `\frac 1 {72}`."""
    pieces: list[str] = []
    position = 0
    while match := _FRACTION.search(text, position):
        pieces.append(text[position : match.start()] + r"\frac")
        position = match.end()
        for _ in range(2):
            end = _end_of_place(text, position)
            if end is None:
                break
            place = text[position:end].strip()
            inner = place[1:-1] if place.startswith("{") and place.endswith("}") else place
            pieces.append(f"{{{_with_braces(inner)}}}")
            position = end
    pieces.append(text[position:])
    return "".join(pieces)


def _end_of_place(text: str, start: int) -> int | None:
    """Return the end of the numerator or denominator that begins at `start`, including trailing space."""
    if start >= len(text):
        return None
    if text[start] != "{":
        match = _PLACED.match(text, start)
        return match.end() if match else None
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] == "{") - (text[position] == "}")
        if depth == 0:
            end = position + 1
            return end + len(text[end:]) - len(text[end:].lstrip())
    return None
