"""Decides by rule whether a child policy is promoted or rejected, and gives the reason as text. Pure functions.

A policy that got worse on held-out questions must not become the next parent by default: training on a narrow D+ was
measured to make a small model worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from store.evaluation.comparisons import Comparison, Difference
from store.evaluation.intervals import p_words
from store.evaluation.number_format import signed_interval


@dataclass(frozen=True, slots=True)
class Decision:
    """The new state of a child policy, and the reason."""

    state: Literal["promoted", "rejected"]
    reason: str


def describe(name: str, difference: Difference) -> str:
    """Format a difference in percentage points with its interval and p-value."""
    if difference.value is None or difference.low is None or difference.high is None:
        return f"{name}: no question was verified for both"
    points = signed_interval(difference.value, difference.low, difference.high, " points")
    p = "" if difference.p is None else f", p {p_words(difference.p)}"
    return f"{name} {points}{p}, n = {difference.n}"


def summarise(comparison: Comparison) -> str:
    """Summarise the comparison of child and parent in one line."""
    return f"{describe('Acc@t1', comparison.t1)}; {describe('Acc@t2', comparison.t2)}"


def decide(rule: Literal["operator", "not-worse", "always"], comparison: Comparison) -> Decision:
    """Apply a promotion rule.

    `always` promotes. `not-worse` rejects a child whose Acc@t2 fell, or whose Acc@t1 fell by more than chance (its
    whole interval is below zero); without held-out questions it promotes.
    """
    words = summarise(comparison)
    if rule == "always":
        return Decision("promoted", f"rule 'always'; {words}")
    second, first = comparison.t2, comparison.t1
    lost = (second.value is not None and second.value < 0) or (first.high is not None and first.high < 0)
    if lost:
        return Decision("rejected", f"worse than its parent; {words}")
    return Decision("promoted", f"not worse than its parent; {words}")
