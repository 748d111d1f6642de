"""First attempts trained on beside D+: right ones (rehearsal), and corrected attempts as first ones (distillation).

D+ contains corrections of wrong answers only. Trained on nothing else, a small model loses accuracy in its first
attempts: SmolLM2-135M lost 10 points of Acc@t1 in one iteration (240 dev questions of four tasks; corrections without
the wrong attempt in their prompt). Experience replay, training on known right answers beside the new ones, is the
usual remedy.

Where attempts contain reasoning, the corrected attempt has what the first lacked. Distillation trains on it as the
answer to the question alone, as STaR (arXiv 2203.14465) trains on the solutions that a model found. Neither is in the
paper; both are off unless `training.rehearsal` or `training.distillation` is set. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from engine.curation.unfit_answers import attempt_wording, unfit_answer
from engine.prompts.rollout import Problem, attempt_messages
from engine.training.build_examples import Rollouts, correction_of, reply, source_row
from engine.training.examples import Example
from store.curation.records import CuratedRow
from store.records import StoredAttempt, StoredQuestion
from store.settings import CurationSection


def rehearsal(
    questions: Sequence[StoredQuestion], rollouts: Rollouts, wanted: int, seed: int, curation: CurationSection
) -> tuple[Example, ...]:
    """Return at most `wanted` right first attempts unchanged, drawn round-robin from the tasks.

    Attempts that `unfit_answer` excludes with these settings are left out. Deterministic for the same rows and seed.
    Ids are those of the attempts, negated: positive ids are curated rows.
    """
    right = {
        attempt.question_id: attempt
        for attempt in rollouts.attempts.values()
        if attempt.turn == 1
        and attempt.sample == 0
        and attempt.verdict == "correct"
        and unfit_first_attempt(attempt, rollouts.problems, curation) is None
    }
    by_task: dict[str, list[StoredAttempt]] = {}
    for question in sorted(questions, key=lambda one: _place(one, seed)):
        if question.id in right:
            by_task.setdefault(question.task, []).append(right[question.id])
    in_turns = zip_longest(*(by_task[task] for task in sorted(by_task)))
    chosen = [attempt for turn in in_turns for attempt in turn if attempt is not None][:wanted]
    return tuple(_as_first_attempt(attempt, rollouts) for attempt in chosen)


def distillation(rows: Iterable[CuratedRow], rollouts: Rollouts, curation: CurationSection) -> tuple[Example, ...]:
    """Return the corrected attempt of each row of D+ as a first attempt at its question, with ids as in `rehearsal`.

    Attempts that `unfit_answer` excludes as answers to the question alone are left out, and so are corrections of right
    attempts, which first attempts teach nothing (`rehearsal` repeats those).
    Raises EngineError when a record that a row references is missing.
    """
    corrected = (correction_of(row, rollouts) for row in rows if not _keeps_right_attempt(row, rollouts))
    return tuple(
        _as_first_attempt(attempt, rollouts)
        for attempt in corrected
        if unfit_first_attempt(attempt, rollouts.problems, curation) is None
    )


def _keeps_right_attempt(row: CuratedRow, rollouts: Rollouts) -> bool:
    source = source_row(row, rollouts)
    return source.attempt.verdict == "correct"


def unfit_first_attempt(
    attempt: StoredAttempt, problems: Mapping[int, Problem], curation: CurationSection
) -> str | None:
    """Return why an attempt must not be trained on as the answer to its question alone, or None."""
    problem = problems.get(attempt.question_id)
    if problem is None:
        return None
    return unfit_answer(attempt.reasoning, attempt.finish_reason, attempt_wording(problem), curation)


def _as_first_attempt(attempt: StoredAttempt, rollouts: Rollouts) -> Example:
    asked = attempt_messages(rollouts.problems[attempt.question_id])
    written = rollouts.attempt_thoughts.get(attempt.id, "") + attempt.reasoning
    return Example(-attempt.id, tuple(asked), reply(written), attempt.question_id)


def _place(question: StoredQuestion, seed: int) -> str:
    return hashlib.sha256(f"{seed}|{question.content_hash}".encode()).hexdigest()
