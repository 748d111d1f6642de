"""States in one sentence whether a policy's Acc@t2 shows a gain by reflection, from its numbers alone.

A gain is called reached only above the floor and above the policy's own retry without a reflection. Neither says
whether the content of the reflections matters; the controls measure that. Pure, apart from `stored_gain`, which reads
the numbers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from store.evaluation.comparisons import Difference, baseline_outcomes, compare, difference, paired_answers
from store.evaluation.floors import BY_OPTIONS, FLOOR, floor_value
from store.evaluation.held_out_answers import held_out_answers, is_oracle, outcomes_at
from store.evaluation.number_format import percent
from store.records import Evaluation

Metric = Mapping[str, float | None]
"""A stored metric: `value`, `low`, `high` (shares) and `n`."""

Verdict = Literal["gain", "none", "unclear", "unknown"]


@dataclass(frozen=True, slots=True)
class MeasuredPolicy:
    """The metrics of a policy that a statement about a gain needs; a missing one is None."""

    name: str
    acc_t1: Metric | None
    acc_t2: Metric | None
    floor: Metric | None
    retry: Metric | None
    """Accuracy with one retry without a reflection in place of reflection and correction (`acc_retry`)."""
    above_parent: float | None = None
    """Lower bound of the 95 % interval of Acc@t2 minus that of the parent, paired by question; None if not compared."""
    above_retry: float | None = None
    """The same of Acc@t2 minus the retry."""

    @classmethod
    def of(cls, name: str, metrics: Mapping[str, Metric]) -> MeasuredPolicy:
        """Select the metrics from those of an evaluation."""
        return cls(name, metrics.get("acc_t1"), metrics.get("acc_t2"), metrics.get(FLOOR), metrics.get("acc_retry"))

    def compared(self, with_parent: Difference | None, with_retry: Difference | None) -> MeasuredPolicy:
        """Return the policy with the lower bounds of its paired differences in Acc@t2."""
        return replace(
            self,
            above_parent=with_parent.low if with_parent else None,
            above_retry=with_retry.low if with_retry else None,
        )


@dataclass(frozen=True, slots=True)
class Gain:
    """The statement: `gain` if nothing simpler explains the result, `none` if something does, `unclear` if that can't
    be told with this many questions, `unknown` if a number is missing."""

    verdict: Verdict
    sentence: str


@dataclass(slots=True)
class _Reasons:
    """The reasons against a gain: those that exclude it, those within the interval, and the missing numbers."""

    against: list[str] = field(default_factory=list)
    within: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def compare(self, after: Metric, reached: float, words: str, bound: float | None = None) -> None:
        """Add the reason why something simpler that reaches an accuracy may explain Acc@t2, if it may.

        `bound` is the lower bound of the paired difference; without it the interval of Acc@t2 itself decides.
        """
        value, low = after["value"], after.get("low")
        assert value is not None
        if bound is None and low is not None:
            bound = low - reached
        if value <= reached:
            self.against.append(words)
        elif bound is None or bound <= 0:
            self.within.append(words)


def gain_of(before: MeasuredPolicy | None, after: MeasuredPolicy, protocol: str, controls: str = "") -> Gain:
    """State whether the Acc@t2 of a policy shows a gain by reflection.

    Args:
        before: the policy that `after` was trained from; None to judge `after` alone.
        after: the policy to judge.
        protocol: the protocol of both evaluations.
        controls: the sentence of the policy's control analysis, if it was measured; added at the end.

    Returns:
        The verdict and one sentence, followed by that of the controls.
    """
    value = (after.acc_t2 or {}).get("value")
    if after.acc_t2 is None or value is None:
        return Gain("unknown", f"Acc@t2 of {after.name} was not measured, so nothing can be said about a gain.")
    start = None if before is None else (before.acc_t2 or {}).get("value")
    reasons = _Reasons()
    if before is not None:
        if start is None:
            reasons.missing.append(f"Acc@t2 of {before.name} was not measured")
        elif value > start:
            reasons.compare(after.acc_t2, start, "the difference includes 0", after.above_parent)
    (_oracle_reasons if is_oracle(protocol) else _free_reasons)(reasons, after, after.acc_t2)
    return _stated(before, after, value, start, reasons, controls)


def _oracle_reasons(reasons: _Reasons, after: MeasuredPolicy, acc_t2: Metric) -> None:
    floor = (after.floor or {}).get("value")
    if after.floor is None or floor is None:
        reasons.missing.append(f"its floor is {floor_value(after.floor)}")
    else:
        how = "" if after.floor.get(BY_OPTIONS) == 1.0 else " without a model"
        reasons.compare(acc_t2, floor, f"guessing reaches {percent(floor)}{how}")
    retry = (after.retry or {}).get("value")
    if retry is None:
        reasons.missing.append("its own retry without a reflection was not measured")
    else:
        same = " as well" if percent(retry) == percent(acc_t2["value"]) else ""
        again = f"asked again without a reflection {after.name} reaches {percent(retry)}{same}"
        reasons.compare(acc_t2, retry, again, after.above_retry)


def _free_reasons(reasons: _Reasons, after: MeasuredPolicy, acc_t2: Metric) -> None:
    first = (after.acc_t1 or {}).get("value")
    if first is None:
        reasons.missing.append("its Acc@t1 was not measured")
    else:
        reasons.compare(acc_t2, first, f"its first answers reach {percent(first)}")


def _stated(
    before: MeasuredPolicy | None,
    after: MeasuredPolicy,
    value: float,
    start: float | None,
    reasons: _Reasons,
    controls: str,
) -> Gain:
    change = f"Acc@t2 of {after.name} is {percent(value)}"
    ended = f" {controls}" if controls else ""
    if before is not None and start is not None:
        if value <= start:
            same = percent(start) == percent(value)
            change = (
                f"Acc@t2 stayed at {percent(value)}"
                if same
                else f"Acc@t2 fell from {percent(start)} to {percent(value)}"
            )
            return Gain("none", f"{change}: no gain.{ended}")
        change = f"Acc@t2 rose from {percent(start)} to {percent(value)}"
    if reasons.against:
        return Gain("none", f"{change}, but {_joined(reasons.against)}: this is no gain by reflection.{ended}")
    if reasons.within:
        n = (after.acc_t2 or {}).get("n")
        size = f" with n = {int(n):,}" if n else ""
        return Gain(
            "unclear",
            f"{change}, but {_joined(reasons.within)}: this can't be distinguished from no gain{size}.{ended}",
        )
    if reasons.missing:
        words = _joined(reasons.missing)
        return Gain("unknown", f"{change}, but {words}: whether this is a gain by reflection isn't known.{ended}")
    beyond = "guessing and a retry without a reflection reach" if after.retry else "its first answers reach"
    if not controls:
        ended = " Whether what the reflections say helps, the controls show."
    return Gain("gain", f"{change}, which is more than {beyond}.{ended}")


def _joined(reasons: Sequence[str]) -> str:
    return reasons[0] if len(reasons) == 1 else f"{', '.join(reasons[:-1])}, and {reasons[-1]}"


def stored_gain(
    connection: sqlite3.Connection, before: tuple[str, Evaluation] | None, after: tuple[str, Evaluation]
) -> Gain:
    """State whether a stored evaluation shows a gain by reflection, with paired differences where answers are stored.

    Args:
        connection: a reading connection.
        before: name and evaluation of the parent policy over all tasks; None without one.
        after: the same of the policy, under the same protocol.
    """
    (name, measured), protocol = after, after[1].protocol
    if before is not None and before[1].protocol != protocol:
        before = None
    with_parent = None
    if before is not None:
        pairs = paired_answers(connection, before[1].policy_id, measured.policy_id, protocol)
        with_parent = compare(pairs, protocol).t2
    answers = held_out_answers(connection, measured.policy_id, protocol)
    own = outcomes_at([one for one in answers if not one.transfer], 2, protocol)
    retried = baseline_outcomes(connection, measured.policy_id, protocol).get("retry", {})
    both = sorted(own.keys() & retried.keys())
    with_retry = difference([(question, retried[question], own[question]) for question in both])
    return gain_of(
        None if before is None else MeasuredPolicy.of(before[0], before[1].metrics),
        MeasuredPolicy.of(name, measured.metrics).compared(with_parent, with_retry),
        protocol,
    )
