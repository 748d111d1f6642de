"""Similarity of texts: Jaccard similarity of word 3-grams, with MinHash for estimation and near-duplicate search.

Seeds are fixed, so that the same texts give the same result in every process. Independent of reflections, sets and
settings. Source of MinHash: Broder 1997; implemented by datasketch.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from engine.curation.word_grams import word_grams
from engine.tasks.base import normalised

if TYPE_CHECKING:
    from datasketch import MinHash

_PERMUTATIONS = 128
_SEED = 1
_RECALL = 0.99
"""Minimum recall of the index for texts exactly at the similarity limit; above the limit it approaches 1."""


def grams(text: str) -> frozenset[str]:
    """Return the distinct word 3-grams of a text; a shorter text is a single gram, an empty text has none."""
    found = word_grams(text)
    return frozenset(found) if found else frozenset({normalised(text)} - {""})


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the Jaccard similarity of two sets of grams, from 0 to 1; 1 if both are empty."""
    union = len(one | other)
    return len(one & other) / union if union else 1.0


class NearDuplicates:
    """An index of texts that finds near duplicates of a further text.

    MinHash selects the candidates and their grams decide, so that there are no false positives, but a text just above
    the limit may be missed.

    Args:
        max_similarity: similarity above which two texts are near duplicates; with 1 only equal texts are.
    """

    def __init__(self, max_similarity: float) -> None:
        # Imported where texts are compared: datasketch imports scipy, half a second in each process.
        from datasketch import MinHashLSH

        self._limit = max_similarity
        self._index = MinHashLSH(num_perm=_PERMUTATIONS, params=_bands(max_similarity))
        self._grams: dict[Hashable, frozenset[str]] = {}
        self._sketches: dict[str, MinHash] = {}

    def add(self, key: Hashable, text: str) -> None:
        """Add a text under a key; has no effect if the key exists already."""
        if key not in self._grams:
            self._grams[key] = grams(text)
            self._index.insert(key, self._sketch(text))

    def like(self, text: str, *, but: Hashable = None) -> bool:
        """Check whether a text under a key other than `but` is a near duplicate of this text, or equal to it."""
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
    """Return the number and width of the index's bands: the widest with sufficient recall at the limit.

    Two texts of similarity s share one of b bands of r values with probability 1 - (1 - s^r)^b. False positives are
    removed by comparing the grams.
    """
    for width in range(_PERMUTATIONS // 2, 1, -1):
        bands = _PERMUTATIONS // width
        if 1 - (1 - limit**width) ** bands >= _RECALL:
            return bands, width
    return _PERMUTATIONS, 1


def sketch(text: str) -> MinHash:
    """Return the MinHash of a text's grams."""
    from datasketch import MinHash

    made = MinHash(num_perm=_PERMUTATIONS, seed=_SEED)
    made.update_batch([gram.encode("utf-8", "surrogatepass") for gram in sorted(grams(text))])
    return made


def mean_similarity(texts: Sequence[str]) -> float:
    """Estimate the mean similarity of all pairs of texts (standard error below 0.05 per pair); 0 for fewer than two."""
    if len(texts) < 2:
        return 0.0
    import numpy as np

    hashes = np.stack([sketch(text).hashvalues for text in texts])
    total = 0.0
    for position in range(len(texts) - 1):
        total += float((hashes[position + 1 :] == hashes[position]).mean(axis=1).sum())
    return total / (len(texts) * (len(texts) - 1) / 2)
