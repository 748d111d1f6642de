"""Reads the comparison of child and parent that a promotion is decided on, for the gate dialog. No widgets."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from store.evaluation.comparisons import Difference, PairedAnswer, Turn, compare_policies, paired_answers
from store.evaluation.protocols import deciding_split, main_protocol
from store.records import Iteration, Run, Split
from store.runs.policies import evaluations


@dataclass(frozen=True, slots=True)
class PromotionFacts:
    """Child against parent under the protocol that decides: differences by task and turn, and each paired answer."""

    protocol: str
    split: Split
    differences: Mapping[tuple[str, Turn], Difference]
    pairs: Mapping[int, PairedAnswer]


def read_promotion(connection: sqlite3.Connection, run: Run, iteration: Iteration) -> PromotionFacts | None:
    """Read the comparison of an iteration's child with its parent; None before both were measured alike."""
    parent, child, split = iteration.parent_id, iteration.child_id, deciding_split(iteration)
    if parent is None or child is None:
        return None
    measured: dict[int, list[str]] = {parent: [], child: []}
    for one in evaluations(connection, run.id):
        if one.policy_id in measured and not one.task and one.split == split:
            measured[one.policy_id].append(one.protocol)
    kind = main_protocol(run)
    common = [one for one in measured[child] if one in measured[parent] and one.partition("/")[0] == kind]
    if not common:
        return None
    pairs = paired_answers(connection, parent, child, common[-1])
    if not pairs:
        return None
    differences = compare_policies(connection, parent, child, common[-1])
    return PromotionFacts(common[-1], split, differences, {pair.question_id: pair for pair in pairs})
