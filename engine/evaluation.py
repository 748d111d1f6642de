"""Evaluation of a policy on held-out questions: which sweep it is, and what its stored answers come to.

Greedy throughout, one general instruction, one reflection (paper, section 4). An evaluation belongs to a
policy and a protocol, not to an iteration: a parent that was measured as a child is not measured again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from engine.instructions import GENERAL
from engine.prompts import PROMPT_VERSION, Problem
from engine.statistics import Answered, EvaluationMetrics, Feedback, evaluate, evaluate_by_task
from engine.sweep import Done, Sweep
from store.records import StoredQuestion
from store.rows import dump_json
from store.settings import CorrectionSection, Decoding, RunSettings

GENERAL_KEY = (GENERAL, 0)
"""The one reflection of an evaluation."""


def protocol_name(settings: RunSettings, questions: Sequence[StoredQuestion]) -> str:
    """Name of the protocol with a digest of all that makes two evaluations comparable."""
    content = dump_json(
        {
            "prompt": PROMPT_VERSION,
            "attempt": settings.attempt.max_tokens,
            "reflection": settings.reflection.max_tokens,
            "correction": settings.correction.max_tokens,
            "show_previous_attempt": settings.correction.show_previous_attempt,
            "questions": [question.content_hash for question in questions],
        }
    )
    return f"{settings.evaluation.protocol}/{hashlib.sha256(content.encode()).hexdigest()[:10]}"


def evaluation_sweep(
    *,
    iteration_id: int | None,
    policy_id: int,
    settings: RunSettings,
    questions: Sequence[StoredQuestion],
    problems: Mapping[int, Problem],
) -> Sweep:
    """The sweep of one policy over the held-out questions."""
    return Sweep(
        iteration_id=iteration_id,
        iteration_number=0,
        policy_id=policy_id,
        protocol=protocol_name(settings, questions),
        questions=tuple(questions),
        problems=problems,
        draws={question.id: (GENERAL_KEY,) for question in questions},
        attempt=Decoding(max_tokens=settings.attempt.max_tokens),
        reflection=Decoding(max_tokens=settings.reflection.max_tokens),
        correction=CorrectionSection(
            max_tokens=settings.correction.max_tokens,
            show_previous_attempt=settings.correction.show_previous_attempt,
        ),
        reflect_on_all=settings.evaluation.protocol == "oracle-free",
        retry=settings.evaluation.retry_baseline,
        stages=frozenset({"attempt", "reflect", "correct"}),
        seed=settings.seed,
    )


def answered(questions: Iterable[StoredQuestion], done: Mapping[int, Done]) -> list[Answered]:
    """The verdicts of each answered held-out question."""
    rows = []
    for question in questions:
        entry = done.get(question.id)
        if entry is None or entry.attempt is None:
            continue
        reflection = entry.reflections.get(GENERAL_KEY)
        second = entry.corrected.get(reflection.id) if reflection else None
        rows.append(Answered(question.id, question.task, entry.attempt.verdict, second, entry.retry))
    return rows


def feedback_of(settings: RunSettings) -> Feedback:
    """The feedback that decides over a child: `oracle` when both are measured."""
    return "oracle-free" if settings.evaluation.protocol == "oracle-free" else "oracle"


def measure(rows: Sequence[Answered], settings: RunSettings) -> dict[str, EvaluationMetrics]:
    """The metrics by task, and of all tasks together under the empty name."""
    protocol = feedback_of(settings)
    return {"": evaluate(rows, protocol=protocol, seed=settings.seed)} | evaluate_by_task(
        rows, protocol=protocol, seed=settings.seed
    )
