"""Which evaluations of a run may stand beside each other: those under the protocol that most policies have in common.

A policy may be measured on dev and on test questions, with an oracle and without; numbers of one and of the other in a
column would look like gains and losses. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from store.records import Evaluation, Run


def main_protocol(run: Run) -> str:
    """The protocol a run compares its policies under; where both are measured, the one that decides."""
    section = run.settings.get("evaluation")
    chosen = str(section.get("protocol", "oracle")) if isinstance(section, Mapping) else "oracle"
    return "oracle" if chosen == "both" else chosen


def overall_evaluations(found: Sequence[Evaluation], protocol: str) -> list[Evaluation]:
    """Of all evaluations, those over all tasks that have both accuracies, under the wanted kind of protocol.

    A protocol is named `kind/digest`; two are comparable only with the same digest. The one that most policies were
    measured under counts, the newest of several: a single policy that was measured in another way hides none.
    """
    both = [
        one
        for one in found
        if not one.task and one.protocol.split("/")[0] == protocol and {"acc_t1", "acc_t2"} <= set(one.metrics)
    ]
    measured = Counter(one.protocol for one in reversed(both))
    chosen = max(measured, key=lambda protocol: measured[protocol], default=None)
    return [one for one in both if one.protocol == chosen]
