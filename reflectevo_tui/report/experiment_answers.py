"""Reads the answers of policies to the test questions of an experiment, once per policy and feedback."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reflectevo_tui.experiment.paired_estimates import Outcomes
from reflectevo_tui.experiment.plan import Known, split_of
from store.evaluation.comparisons import baseline_outcomes
from store.evaluation.floors import FLOOR
from store.evaluation.held_out_answers import HeldOutAnswer, held_out_answers, outcomes_at
from store.records import Evaluation


@dataclass(frozen=True, slots=True)
class PolicyAnswers:
    """Answers of one policy under one protocol."""

    protocol: str
    answers: list[HeldOutAnswer]
    baselines: Mapping[str, Outcomes] = field(default_factory=dict)
    floors: Mapping[str, float | None] = field(default_factory=dict)
    """The stored floor of Acc@t2 by task; empty without an oracle."""
    transfer: PolicyAnswers | None = None
    """The answers to transfer tasks, which nothing else here contains; None in a run without them."""

    def outcomes(self, turn: int) -> Outcomes:
        return outcomes_at(self.answers, turn, self.protocol)


class AnswerReader:
    """Reads the answers of each policy to the test questions, once per policy."""

    def __init__(self, connection: sqlite3.Connection, known: Known) -> None:
        self._connection = connection
        self._known = known
        self._splits = {one.id: split_of(one.settings) for one in known.iterations}
        self._read: dict[tuple[int, str], PolicyAnswers | None] = {}

    def answers(self, policy_id: int, feedback: str) -> PolicyAnswers | None:
        """Return a policy's answers under a feedback type, or None when it was not measured.

        Of several protocols, the one with the most baselines is used; greedy answers are the same in all of them.
        """
        key = (policy_id, feedback)
        if key not in self._read:
            found = [one for one in self._known.evaluations if self._fits(one, policy_id, feedback)]
            chosen = max(found, key=lambda one: (len(one.metrics), one.id), default=None)
            self._read[key] = None if chosen is None else self._load(policy_id, chosen.protocol)
        return self._read[key]

    def _fits(self, one: Evaluation, policy_id: int, feedback: str) -> bool:
        on_test = self._splits.get(one.iteration_id or 0) == "test"
        return on_test and one.policy_id == policy_id and one.task == "" and one.protocol.startswith(f"{feedback}/")

    def _load(self, policy_id: int, protocol: str) -> PolicyAnswers:
        answers = held_out_answers(self._connection, policy_id, protocol)
        baselines = baseline_outcomes(self._connection, policy_id, protocol)
        floors = {
            one.task: one.metrics[FLOOR].get("value")
            for one in self._known.evaluations
            if (one.policy_id, one.protocol) == (policy_id, protocol) and one.task and FLOOR in one.metrics
        }
        trained, transfer = (
            PolicyAnswers(
                protocol,
                part,
                {
                    name: {question: right for question, right in found.items() if question in asked}
                    for name, found in baselines.items()
                },
                {task: floor for task, floor in floors.items() if task in tasks},
            )
            for part in ([one for one in answers if one.transfer is apart] for apart in (False, True))
            for asked, tasks in [({one.question_id for one in part}, {one.task for one in part})]
        )
        return replace(trained, transfer=transfer if transfer.answers else None)
