"""Rehearsal: first attempts that were right, trained on beside D+.

D+ holds corrections of wrong answers only. Trained on nothing else, a small model carries the new answers over to its
first attempts: SmolLM2-135M lost 10 points of Acc@t1 in one iteration (240 dev questions of four tasks; corrections
that didn't show the wrong attempt). Rehearsing what a model can do beside what it is to learn is the usual remedy
(experience replay). Not in the paper; off unless `training.rehearsal` is set. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import zip_longest

from engine.prompts import attempt_messages
from engine.training.examples import Example
from engine.training.from_curated import Rollouts, reply
from store.records import StoredAttempt, StoredQuestion


def rehearsal(questions: Sequence[StoredQuestion], rollouts: Rollouts, wanted: int, seed: int) -> tuple[Example, ...]:
    """At most `wanted` right first attempts as they were given, taken from each task in turn as far as they go.

    The same rows and seed give the same ones. Ids are those of the attempts, below 0: curated rows have theirs above.
    """
    right = {
        attempt.question_id: attempt
        for attempt in rollouts.attempts.values()
        if attempt.turn == 1 and attempt.sample == 0 and attempt.verdict == "correct"
    }
    by_task: dict[str, list[StoredAttempt]] = {}
    for question in sorted(questions, key=lambda one: _place(one, seed)):
        if question.id in right:
            by_task.setdefault(question.task, []).append(right[question.id])
    in_turns = zip_longest(*(by_task[task] for task in sorted(by_task)))
    chosen = [attempt for turn in in_turns for attempt in turn if attempt is not None][:wanted]
    return tuple(
        Example(
            -attempt.id,
            tuple(attempt_messages(rollouts.problems[attempt.question_id])),
            reply(attempt.reasoning),
            attempt.question_id,
        )
        for attempt in chosen
    )


def _place(question: StoredQuestion, seed: int) -> str:
    return hashlib.sha256(f"{seed}|{question.content_hash}".encode()).hexdigest()
