"""Held-out questions of a training, and early stopping on their loss. Pure.

The split is by question: the examples of one question are never on both sides, or the held-out loss would measure
memorisation. Early stopping with a patience follows ReflectEvo (arXiv 2505.16475), appendix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from engine.errors import TrainingRefused
from engine.training.examples import AnyExample
from store.estimates.training_steps import held_out_count

OneExample = TypeVar("OneExample", bound=AnyExample)


def question_of(example: AnyExample) -> str:
    """Return the group of an example: its question, or the example itself when it belongs to none."""
    return f"question {example.question_id}" if example.question_id is not None else f"example {example.id}"


def held_out_questions(examples: Iterable[AnyExample], share: float, seed: int) -> frozenset[str]:
    """Return the held-out questions: `share` of all, at least one, never all. Empty for a share of 0.

    Drawn by a hash of seed and question, so that the draw does not depend on the order of the examples. Raises
    TrainingRefused when there are fewer than two questions.
    """
    if not share:
        return frozenset()
    questions = {question_of(example) for example in examples}
    if len(questions) < 2:
        raise TrainingRefused(
            f"validation_share = {share} needs examples of at least two questions, there are {len(questions)}. "
            "Set validation_share = 0, or generate more."
        )
    wanted = held_out_count(share, len(questions))
    ordered = sorted(questions, key=lambda question: hashlib.sha256(f"{seed}|{question}".encode()).hexdigest())
    return frozenset(ordered[:wanted])


def divide(
    examples: Sequence[OneExample], held_out: frozenset[str]
) -> tuple[tuple[OneExample, ...], tuple[OneExample, ...]]:
    """Return the examples to train on and the held-out ones, both in their given order."""
    kept = tuple(example for example in examples if question_of(example) not in held_out)
    return kept, tuple(example for example in examples if question_of(example) in held_out)


def evaluations_since_best(losses: Sequence[float]) -> int:
    """Return the number of measurements since the (first) lowest held-out loss; 0 when there is no measurement."""
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0
