"""Noise between two measurements of the same policy under the same protocol.

Greedy decoding of the same prompts is not the same in every run: the composition of a batch changes the rounding of
logits, and where two tokens are nearly equally probable the text changes. With `[evaluation] repeat = true` the base
policy answers the held-out questions a second time, under a protocol of its own. A difference between policies that is
no larger than the one between these two measurements is no evidence. SQL and pure functions.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from store.evaluation.comparisons import Comparison, Difference, compare, paired_answers
from store.evaluation.number_format import counted, signed_interval

_SUFFIX = "/repeat"


def repeat_protocol(protocol: str) -> str:
    """Return the name of the protocol under which the second measurement is stored."""
    return protocol + _SUFFIX


def is_repeat(protocol: str) -> bool:
    """Check whether a protocol is that of a second measurement."""
    return protocol.endswith(_SUFFIX)


@dataclass(frozen=True, slots=True)
class RepeatNoise:
    """The second measurement of a policy minus the first, on the same questions."""

    policy: str
    comparison: Comparison

    @property
    def words(self) -> str:
        """The noise in one sentence, in percentage points."""
        turns = (("Acc@t1", self.comparison.t1), ("Acc@t2", self.comparison.t2))
        return f"{self.policy} measured twice: {'; '.join(_words(name, one) for name, one in turns)}"


def repeat_noise(connection: sqlite3.Connection, run_id: int, protocol: str) -> RepeatNoise | None:
    """Return the noise of a run's base policy under a protocol; None if it was not measured twice."""
    row = connection.execute(
        "SELECT p.id, p.name FROM policies p WHERE p.run_id = ? AND p.parent_id IS NULL"
        " AND EXISTS (SELECT 1 FROM attempts a WHERE a.policy_id = p.id AND a.protocol = ?) ORDER BY p.id LIMIT 1",
        (run_id, repeat_protocol(protocol)),
    ).fetchone()
    if row is None:
        return None
    pairs = paired_answers(connection, row["id"], row["id"], protocol, repeat_protocol(protocol))
    return RepeatNoise(row["name"], compare(pairs, protocol)) if pairs else None


def _words(name: str, one: Difference) -> str:
    if one.value is None or one.low is None or one.high is None:
        return f"{name} no common question"
    changed = counted(len(one.gained) + len(one.lost), "verdict")
    return f"{name} {signed_interval(one.value, one.low, one.high)}, {changed} of {one.n} changed"
