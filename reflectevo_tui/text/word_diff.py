"""Word-level difference of two texts. Pure: values in, values out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

MOST_WORDS = 1_000
"""Maximum number of words compared of each text: the cost grows with the product of both."""

_WORD = re.compile(r"\n[ \t]*|[^\s]+")
"""A word, or a line break with the indentation after it, so that programs keep their layout."""


@dataclass(frozen=True, slots=True)
class Change:
    """A run of words that were kept, removed or added, joined by single spaces with line breaks and indentation."""

    kind: Literal["same", "removed", "added"]
    text: str


@dataclass(frozen=True, slots=True)
class WordChanges:
    """The changes, and whether the texts were too long to be compared completely."""

    changes: tuple[Change, ...]
    cut: bool


def _joined(words: list[str]) -> str:
    pieces: list[str] = []
    for before, word in zip([None, *words], words, strict=False):
        if before is not None and not word.startswith("\n") and not before.startswith("\n"):
            pieces.append(" ")
        pieces.append(word)
    return "".join(pieces)


def word_changes(before: str, after: str) -> WordChanges:
    """Compare two texts word by word; only the start of long texts is compared."""
    left, right = _WORD.findall(before), _WORD.findall(after)
    cut = max(len(left), len(right)) > MOST_WORDS
    left, right = left[:MOST_WORDS], right[:MOST_WORDS]
    found: list[Change] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag == "equal":
            found.append(Change("same", _joined(left[i1:i2])))
            continue
        if i2 > i1:
            found.append(Change("removed", _joined(left[i1:i2])))
        if j2 > j1:
            found.append(Change("added", _joined(right[j1:j2])))
    return WordChanges(tuple(found), cut)
