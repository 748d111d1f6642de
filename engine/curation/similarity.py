"""How alike texts are: Jaccard similarity of their word 3-grams, found and estimated by MinHash.

Seeds are fixed, so the same texts give the same result in every process. Knows nothing of reflections, sets or
settings. Source of MinHash: Broder 1997; the library is datasketch.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain

import numpy as np
from datasketch import MinHash, MinHashLSH

from engine.tasks.base import normalised

_PERMUTATIONS = 128
_SEED = 1
_GRAM = 3
_RECALL = 0.99
"""Share of the texts at the limit that the index must find; further above it, it finds nearly all."""


def word_grams(text: str) -> list[str]:
    """The word 3-grams of a text in order, without regard to case and spacing; none for fewer than three words."""
    words = normalised(text).split()
    return [" ".join(words[start : start + _GRAM]) for start in range(len(words) - _GRAM + 1)]


def grams(text: str) -> frozenset[str]:
    """The different word 3-grams of a text; a shorter text is one gram, an empty one none."""
    found = word_grams(text)
    return frozenset(found) if found else frozenset({normalised(text)} - {""})


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared grams over all grams: 0 to 1; two texts without grams are equal."""
    union = len(one | other)
    return len(one & other) / union if union else 1.0


class NearDuplicates:
    """Texts taken so far, and which of them a further text is too much like.

    MinHash finds those that come into question, their grams decide; so nothing is called alike that is not, and a text
    just above the limit may be missed.

    Args:
        max_similarity: a text is too much like another when their similarity is above this; 1 means equal only.
    """

    def __init__(self, max_similarity: float) -> None:
        self._limit = max_similarity
        self._index = MinHashLSH(num_perm=_PERMUTATIONS, params=_bands(max_similarity))
        self._grams: dict[Hashable, frozenset[str]] = {}
        self._sketches: dict[str, MinHash] = {}

    def add(self, key: Hashable, text: str) -> None:
        """Take a text under a key; a key that was taken already stays as it is."""
        if key not in self._grams:
            self._grams[key] = grams(text)
            self._index.insert(key, self._sketch(text))

    def like(self, text: str, *, but: Hashable = None) -> bool:
        """True when a text taken under another key than `but` is too much like this one, or equal."""
        own = grams(text)
        return any(
            key != but and (self._grams[key] == own or jaccard(self._grams[key], own) > self._limit)
            for key in self._index.query(self._sketch(text))
        )

    def _sketch(self, text: str) -> MinHash:
        if text not in self._sketches:
            self._sketches[text] = sketch(text)
        return self._sketches[text]


def _bands(limit: float) -> tuple[int, int]:
    """Number and width of the index's bands: the widest that still find what is as alike as the limit.

    Two texts of similarity s share one of b bands of r values with probability 1 - (1 - s^r)^b. What is found beyond
    that, their grams sort out.
    """
    for width in range(_PERMUTATIONS // 2, 1, -1):
        bands = _PERMUTATIONS // width
        if 1 - (1 - limit**width) ** bands >= _RECALL:
            return bands, width
    return _PERMUTATIONS, 1


def sketch(text: str) -> MinHash:
    """The MinHash of a text's grams."""
    made = MinHash(num_perm=_PERMUTATIONS, seed=_SEED)
    made.update_batch([gram.encode("utf-8", "surrogatepass") for gram in sorted(grams(text))])
    return made


def mean_similarity(texts: Sequence[str]) -> float:
    """Mean similarity over all pairs of texts, estimated (standard error below 0.05 a pair); 0 for fewer than two."""
    if len(texts) < 2:
        return 0.0
    hashes = np.stack([sketch(text).hashvalues for text in texts])
    total = 0.0
    for position in range(len(texts) - 1):
        total += float((hashes[position + 1 :] == hashes[position]).mean(axis=1).sum())
    return total / (len(texts) * (len(texts) - 1) / 2)


def distinct_3(texts: Sequence[str]) -> float:
    """Different word 3-grams over all word 3-grams of the texts: 1 when none repeats, towards 0 when all say the same.

    0 for texts without a gram.
    """
    found = list(chain.from_iterable(word_grams(text) for text in texts))
    return len(set(found)) / len(found) if found else 0.0


def repeated_share(text: str) -> float:
    """The share of word 3-grams that repeat an earlier one: 0 for fewer than four words, towards 1 for a loop."""
    return 1 - distinct_3([text]) if word_grams(text) else 0.0
