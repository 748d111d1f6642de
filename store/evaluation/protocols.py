"""Selects the comparable evaluations of a run: those under the protocol that most policies were measured under.

A policy may be measured on dev and on test questions, with an oracle and without; mixing them in one column would look
like gains and losses. Promotion is decided on one split; evaluations on the other are only reported. Pure functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from store.records import Evaluation, Iteration, Run, Split


def main_protocol(run: Run) -> str:
    """Return the kind of protocol that a run compares its policies under; if it measures both, the one that decides."""
    section = run.settings.get("evaluation")
    chosen = str(section.get("protocol", "oracle")) if isinstance(section, Mapping) else "oracle"
    return "oracle" if chosen == "both" else chosen


def deciding_split(measured: Run | Iteration) -> Split:
    """Return the split whose questions the settings of a run or an iteration decide on; `test` in older ones."""
    section = measured.settings.get("evaluation")
    return "dev" if isinstance(section, Mapping) and section.get("split") == "dev" else "test"


def overall_evaluations(found: Sequence[Evaluation], protocol: str, split: Split | None = None) -> list[Evaluation]:
    """Select comparable evaluations over all tasks that have both accuracies.

    A protocol is named `kind/digest`, and results are comparable only under the same digest. The protocol that most
    policies were measured under is selected, the newest in a tie, so that one policy measured differently does not hide
    the others.

    Args:
        found: evaluations, oldest first.
        protocol: kind of protocol, e.g. `oracle`.
        split: split of the questions; None for any.
    """
    both = [
        one
        for one in found
        if not one.task
        and one.protocol.split("/")[0] == protocol
        and {"acc_t1", "acc_t2"} <= set(one.metrics)
        and split in (None, one.split)
    ]
    measured = Counter(one.protocol for one in reversed(both))
    chosen = max(measured, key=lambda protocol: measured[protocol], default=None)
    return [one for one in both if one.protocol == chosen]
