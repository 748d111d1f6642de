"""First attempts trained on beside D+: those that were right (rehearsal), and corrected ones as such (distillation).

D+ holds corrections of wrong answers only. Trained on nothing else, a small model carries the new answers over to its
first attempts: SmolLM2-135M lost 10 points of Acc@t1 in one iteration (240 dev questions of four tasks; corrections
that didn't show the wrong attempt). Rehearsing what a model can do beside what it is to learn is the usual remedy
(experience replay).

Where attempts reason, a corrected one holds what the first lacked. Distillation asks for it at once, as self-taught
reasoners learn from the solutions they found (STaR, arXiv 2203.14465). Neither is in the paper; both are off unless
`training.rehearsal` or `training.distillation` is set. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from engine.prompts.rollout import attempt_messages
from engine.training.build_examples import Rollouts, correction_of, reply
from engine.training.examples import Example
from store.curation.records import CuratedRow
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
    return tuple(_as_first_attempt(attempt, rollouts) for attempt in chosen)


def distillation(rows: Iterable[CuratedRow], rollouts: Rollouts) -> tuple[Example, ...]:
    """The corrected attempt of each row of D+ as a first attempt at its question. Ids as those of `rehearsal`.

    Raises EngineError when a row points to something that isn't there.
    """
    return tuple(_as_first_attempt(correction_of(row, rollouts), rollouts) for row in rows)


def _as_first_attempt(attempt: StoredAttempt, rollouts: Rollouts) -> Example:
    asked = attempt_messages(rollouts.problems[attempt.question_id])
    return Example(-attempt.id, tuple(asked), reply(attempt.reasoning), attempt.question_id)


def _place(question: StoredQuestion, seed: int) -> str:
    return hashlib.sha256(f"{seed}|{question.content_hash}".encode()).hexdigest()
