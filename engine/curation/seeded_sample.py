"""Bounded samples of an iteration's reflections. All measures of one iteration use the same sample."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

SAMPLE = 200
"""Maximum number of reflections that are measured; 19,900 pairs."""


def measured_sample(ids: Iterable[int], seed: int, most: int = SAMPLE) -> list[int]:
    """Draw the reflections to measure; see `drawn`."""
    return drawn(ids, "diversity", seed, most)


def drawn(ids: Iterable[int], purpose: str, seed: int, most: int) -> list[int]:
    """Draw at most `most` ids; the draw depends only on the ids, the purpose and the seed."""
    return sorted(ids, key=lambda one: hashlib.sha256(f"{purpose}|{seed}|{one}".encode()).digest())[:most]
