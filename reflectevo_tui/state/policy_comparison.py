"""Reads the comparison of two policies on their common questions, with the noise of a repeated measurement."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from store.evaluation.comparisons import Difference, PairedAnswer, Turn, compare_policies, paired_answers
from store.evaluation.repeat_noise import RepeatNoise, repeat_noise
from store.runs.lineage import LineageNode


@dataclass(frozen=True, slots=True)
class Compared:
    """Two policies compared on the same questions under one protocol."""

    first: LineageNode
    second: LineageNode
    protocol: str
    differences: dict[tuple[str, Turn], Difference]
    pairs: dict[int, PairedAnswer]
    noise: RepeatNoise | None


def read_comparison(connection: sqlite3.Connection, first: LineageNode, second: LineageNode, protocol: str) -> Compared:
    """Return the comparison of two policies that were both measured under a protocol."""
    ids = (first.policy.id, second.policy.id)
    pairs = {pair.question_id: pair for pair in paired_answers(connection, *ids, protocol)}
    noise = repeat_noise(connection, first.policy.run_id, protocol)
    return Compared(first, second, protocol, compare_policies(connection, *ids, protocol), pairs, noise)
