"""Word 3-grams of texts, and the share of them that repeat. Pure; loads no library of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from engine.tasks.base import normalised

GRAM = 3


def word_grams(text: str) -> list[str]:
    """Return the word 3-grams of a text in order, ignoring case and spacing; none for fewer than three words."""
    words = normalised(text).split()
    return [" ".join(words[start : start + GRAM]) for start in range(len(words) - GRAM + 1)]


def distinct_3(texts: Sequence[str]) -> float:
    """Return distinct word 3-grams divided by all word 3-grams of the texts.

    1 if none repeats, near 0 if all texts are equal, and 0 for texts without a 3-gram.
    """
    found = list(chain.from_iterable(word_grams(text) for text in texts))
    return len(set(found)) / len(found) if found else 0.0


def repeated_share(text: str) -> float:
    """Return the share of word 3-grams that repeat an earlier one: 0 below four words, near 1 for a loop."""
    return 1 - distinct_3([text]) if word_grams(text) else 0.0
