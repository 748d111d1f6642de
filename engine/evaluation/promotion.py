"""Promotes or rejects a child policy by rule, and says why in words. Pure.

A policy that lost on held-out questions must not become the parent of the next by default: training on a
narrow D+ was measured to make a small model worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from store.evaluation.comparisons import Comparison, Difference
from store.evaluation.intervals import p_words


@dataclass(frozen=True, slots=True)
class Decision:
    """The state a child gets, and why."""

    state: Literal["promoted", "rejected"]
    reason: str


def describe(name: str, difference: Difference) -> str:
    """A difference in percentage points with its interval and p."""
    if difference.value is None or difference.low is None or difference.high is None:
        return f"{name}: no question was judged for both"
    points = f"{100 * difference.value:+.1f} points ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
    p = "" if difference.p is None else f", p {p_words(difference.p)}"
    return f"{name} {points}{p}, n = {difference.n}"


def summarise(comparison: Comparison) -> str:
    """Child against parent in one line."""
    return f"{describe('Acc@t1', comparison.t1)}; {describe('Acc@t2', comparison.t2)}"


def decide(rule: Literal["operator", "not-worse", "always"], comparison: Comparison) -> Decision:
    """Apply a rule: `always` promotes; `not-worse` rejects a child whose Acc@t2 fell, or whose Acc@t1 fell
    by more than chance (its whole interval below zero). Without held-out questions nothing was lost."""
    words = summarise(comparison)
    if rule == "always":
        return Decision("promoted", f"rule 'always'; {words}")
    second, first = comparison.t2, comparison.t1
    lost = (second.value is not None and second.value < 0) or (first.high is not None and first.high < 0)
    if lost:
        return Decision("rejected", f"worse than its parent; {words}")
    return Decision("promoted", f"not worse than its parent; {words}")
