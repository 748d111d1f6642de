"""The tokens of a text that can name something: words, numbers, identifiers, and pairs of characters where a script
writes no spaces between words.

Notations of one number give one token: digits of any script, number words, thousands separators, trailing zeros,
fractions and percentages. Identifiers also give their parts (`find_max`: `find_max`, `find`, `max`). Words aren't
stemmed. Pure; independent of tasks and databases.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from engine.tasks.answers.number_words import with_digits

_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
"""Combining marks, which belong to their word but don't match `\\w`."""

_TOKEN = re.compile(rf"\d+\.\d+|[\w{_MARKS}]+")
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\U00020000-\U0003134f]+"
)
"""Runs of scripts without spaces between words, and of Hangul, whose particles are attached to the word."""

_SUPERSCRIPT = re.compile("([\u00b2\u00b3\u00b9\u2070-\u209c]+)")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_SEPARATOR = re.compile(r"(?<=\d)(?:,|\{,\})(?=\d{3}(?!\d))")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_FRACTION = re.compile(r"(?<![\d./])(\d{1,9})[ ]?[/\u2044][ ]?(\d{1,9})(?![\d/])|\\[dt]?frac\{(\d{1,9})\}\{(\d{1,9})\}")
_PERCENT = re.compile(r"(?<![\d.])(\d{1,9}(?:\.\d{1,9})?)[ ]?\\?%")


def specific_tokens(text: str) -> frozenset[str]:
    """Return the distinct tokens of a text, ignoring case and notation; none for a text without letters and digits."""
    plain = _INVISIBLE.sub("", _SUPERSCRIPT.sub(r" \1 ", text))
    plain = with_digits(_SEPARATOR.sub("", unicodedata.normalize("NFKC", plain)))
    found = set(_values(plain))
    for match in _TOKEN.finditer(plain):
        found.update(_forms(match.group()))
    return frozenset(found - {""})


def _values(text: str) -> Iterator[str]:
    for match in _FRACTION.finditer(text):
        above, below = (float(part) for part in match.groups() if part is not None)
        if below:
            yield f"{above / below:.9g}"
    for match in _PERCENT.finditer(text):
        yield f"{float(match.group(1)) / 100:.9g}"


def _forms(token: str) -> Iterator[str]:
    if _TOKEN.fullmatch(token) and all(one.isdecimal() or one == "." for one in token):
        yield _number(token)
        return
    rest = _UNSPACED.sub(" ", token)
    for run in _UNSPACED.findall(token):
        yield from (run[start : start + 2] for start in range(max(len(run) - 1, 1)))
    for word in rest.split():
        yield word.casefold().strip("_")
        parts = [part for chunk in word.split("_") for part in _CAMEL.split(chunk)]
        if len(parts) > 1:
            yield from (_number(part) if part.isdecimal() else part.casefold() for part in parts)


def _number(token: str) -> str:
    """Return digits in ASCII without trailing zeros of a fraction; leading zeros remain (`0100` is a string)."""
    digits = "".join(one if one == "." else str(unicodedata.decimal(one)) for one in token)
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
