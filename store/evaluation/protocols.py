"""Selects the comparable evaluations of a run: those under the protocol that most policies were measured under.

A policy may be measured on dev and on test questions, with an oracle and without; mixing them in one column would look
like gains and losses. Pure functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from store.records import Evaluation, Run


def main_protocol(run: Run) -> str:
    """Return the kind of protocol that a run compares its policies under; if it measures both, the one that decides."""
    section = run.settings.get("evaluation")
    chosen = str(section.get("protocol", "oracle")) if isinstance(section, Mapping) else "oracle"
    return "oracle" if chosen == "both" else chosen


def overall_evaluations(found: Sequence[Evaluation], protocol: str) -> list[Evaluation]:
    """Select comparable evaluations over all tasks that have both accuracies.

    A protocol is named `kind/digest`, and results are comparable only under the same digest. The protocol that most
    policies were measured under is selected, the newest in a tie, so that one policy measured differently does not hide
    the others.

    Args:
        found: evaluations, oldest first.
        protocol: kind of protocol, e.g. `oracle`.
    """
    both = [
        one
        for one in found
        if not one.task and one.protocol.split("/")[0] == protocol and {"acc_t1", "acc_t2"} <= set(one.metrics)
    ]
    measured = Counter(one.protocol for one in reversed(both))
    chosen = max(measured, key=lambda protocol: measured[protocol], default=None)
    return [one for one in both if one.protocol == chosen]
