"""Which questions are kept out of a training to measure its loss on, and when that loss says to stop. Pure.

The split is by question: two examples of one question never stand on both sides, or the held-out loss would measure
memory. Source of early stopping with a patience: ReflectEvo (arXiv 2505.16475), appendix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from engine.errors import TrainingRefused
from engine.training.examples import AnyExample
from store.estimates.formulas import held_out_count

OneExample = TypeVar("OneExample", bound=AnyExample)


def question_of(example: AnyExample) -> str:
    """What an example is grouped by: its question, or itself when it belongs to none."""
    return f"question {example.question_id}" if example.question_id is not None else f"example {example.id}"


def held_out_questions(examples: Iterable[AnyExample], share: float, seed: int) -> frozenset[str]:
    """The questions kept out: `share` of all, at least one, and never all. Empty for a share of 0.

    Drawn by a hash of seed and question, so that neither the order nor the number of the others matters. Raises
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
    """The examples to train on, and those to measure on; both in their order."""
    kept = tuple(example for example in examples if question_of(example) not in held_out)
    return kept, tuple(example for example in examples if question_of(example) in held_out)


def evaluations_since_best(losses: Sequence[float]) -> int:
    """How many measurements came after the (first) lowest held-out loss; 0 when the last is the lowest, or none is."""
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0
