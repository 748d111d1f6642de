"""Decides by rule whether a child policy is promoted or rejected, and gives the reason as text. Pure functions.

The rule `not-worse` is a test of non-inferiority with a margin for each of Acc@t1 and Acc@t2. That the data show no
loss is no reason to promote: few questions never show one. What they leave open is left to the operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from store.evaluation.comparisons import Comparison, Difference
from store.evaluation.intervals import p_words
from store.evaluation.number_format import signed_interval
from store.settings import EvaluationSection

_LEVEL = 0.05
"""Two-sided significance level of a loss."""


@dataclass(frozen=True, slots=True)
class Margins:
    """The largest losses that are tolerated, as shares: 0.04 is 4 percentage points."""

    t1: float
    t2: float

    @classmethod
    def of(cls, settings: EvaluationSection) -> Margins:
        """Return the margins of the settings."""
        return cls(settings.margin_t1, settings.margin_t2)


@dataclass(frozen=True, slots=True)
class Decision:
    """The new state of a child policy, and the reason. An `undecided` child waits for an operator."""

    state: Literal["promoted", "rejected", "undecided"]
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


def is_loss(difference: Difference) -> bool:
    """Return whether a loss is shown: the whole interval is below 0, and McNemar's exact p is below 0.05.

    The exact test never rejects an unchanged policy in more than 2.5 % of comparisons on this side, so that both
    accuracies together stay within 5 %; the interval alone is slightly too eager with few discordant pairs.
    """
    return difference.high is not None and difference.high < 0 and (difference.p is None or difference.p < _LEVEL)


def not_worse(comparison: Comparison, margins: Margins) -> Decision:
    """Test child against parent for non-inferiority, with the 95 % intervals of the paired differences.

    A shown loss at either turn rejects, also one within its margin. Lower bounds above −margin at both turns promote.
    Anything else can't be told with these questions. Without a verdict for both policies nothing can be told.
    """
    turns = (("Acc@t1", comparison.t1, margins.t1), ("Acc@t2", comparison.t2, margins.t2))
    lost = [name for name, found, _ in turns if is_loss(found)]
    if lost:
        return Decision("rejected", f"worse than its parent at {' and '.join(lost)}")
    open_ = [
        f"{name} fell by more than {100 * margin:g} points"
        for name, found, margin in turns
        if found.low is None or found.low <= -margin
    ]
    if not open_:
        limits = " and ".join(f"{100 * margin:g} points at {name}" for name, _, margin in turns)
        return Decision("promoted", f"not worse than its parent by more than {limits}")
    n = min(comparison.t1.n, comparison.t2.n)
    return Decision("undecided", f"can't tell with n = {n} whether {' or '.join(open_)}")


def decide(settings: EvaluationSection, comparison: Comparison) -> Decision:
    """Apply the promotion rule of the settings to a comparison of child and parent.

    `always` promotes, `operator` leaves every child undecided, and `not-worse` applies `not_worse`, where
    `settings.undecided` may decide about what the questions leave open.
    """
    words = summarise(comparison)
    if settings.promote == "always":
        return Decision("promoted", f"rule 'always'; {words}")
    found = not_worse(comparison, Margins.of(settings))
    if settings.promote == "operator":
        return Decision("undecided", f"the operator decides; {words}")
    if found.state == "undecided" and settings.undecided != "operator":
        state: Literal["promoted", "rejected"] = "promoted" if settings.undecided == "promote" else "rejected"
        return Decision(state, f"{found.reason}, and evaluation.undecided is '{settings.undecided}'; {words}")
    return Decision(found.state, f"{found.reason}; {words}")


def describe_rule(comparison: Comparison, margins: Margins) -> str:
    """Describe what the rule `not-worse` says about a child, for an operator who decides."""
    found = not_worse(comparison, margins)
    verbs = {"promoted": "would promote", "rejected": "would reject", "undecided": "leaves it to you"}
    return f"the rule {verbs[found.state]}: {found.reason}"


def describe_split(settings: EvaluationSection) -> str:
    """Describe which questions the decision rests on, and whether their results are reported too."""
    if settings.split == "dev":
        return "decided on dev questions"
    return "decided on the test questions, so their results favour promoted policies; set dev = 50 in the tasks"
