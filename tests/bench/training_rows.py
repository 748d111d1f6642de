"""Training examples whose lengths are distributed like those of the published rows.

Mean lengths in tokens are those of ReflectEvo's dataset (arXiv 2505.16475): question 130, attempt 189, reflection 250,
corrected attempt 237. The spread (standard deviation of the logarithm) was measured on published rows: questions
of LogiQA, MATH, MBPP and BIG-bench together 1.18, attempts 0.49, reflections 0.21. Everything is scaled to a quarter,
so that a benchmark takes minutes on a CPU; proportions (padding, the share of the prompt) are kept. Worked examples in
front of the prompts have the same lengths: a question and the answer to it.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Literal

from engine.prompts.rollout import Message
from engine.training.examples import AnyExample, Example, Pair

Kind = Literal["sft", "worked", "dpo"]

SCALE = 0.25
QUESTION, ATTEMPT, REFLECTION, CORRECTION = (130, 1.18), (189, 0.49), (250, 0.21), (237, 0.49)
"""Mean in tokens, and standard deviation of the logarithm."""
REQUEST = 100
"""Tokens of the fixed wording of a prompt: the verdict, the request and the instruction."""
LONGEST = 4
"""Maximum length of a part as a multiple of its mean: the longest question of the samples is 4.3 times theirs."""

WORKED, TASKS = 3, 2
"""Number of worked examples in front of each prompt of a task, and number of tasks."""

_WORDS = (
    "time year people way day man thing woman life child world school state family student group country problem hand "
    "part place case week company system program question work number night point home water room mother area money "
    "story fact month lot right study book eye job word business issue side kind head house service friend father"
).split()
"""Words that are one token each for any usual tokenizer."""


def sft_examples(count: int, seed: int = 7) -> tuple[Example, ...]:
    """Return one-stage rows: question, attempt and request → reflection and corrected attempt."""
    draw = random.Random(seed)
    return tuple(
        Example(number, _prompt(draw), _turn("assistant", _text(draw, REFLECTION, CORRECTION)), number)
        for number in range(count)
    )


def worked_examples(count: int, seed: int = 7) -> tuple[Example, ...]:
    """Return the same rows, each after the worked examples of its task: prompts of a task share their beginning."""
    draw = random.Random(seed)
    tasks = [
        tuple(
            turn
            for _ in range(WORKED)
            for turn in (*_turn("user", _text(draw, QUESTION)), *_turn("assistant", _text(draw, ATTEMPT)))
        )
        for _ in range(TASKS)
    ]
    rows = sft_examples(count, seed)
    return tuple(replace(row, prompt=(*tasks[row.id % TASKS], *row.prompt)) for row in rows)


def pairs(count: int, seed: int = 7) -> tuple[Pair, ...]:
    """Return preference rows: question, attempt and request → one reflection over another."""
    draw = random.Random(seed)
    return tuple(
        Pair(
            number,
            _prompt(draw),
            _turn("assistant", _text(draw, REFLECTION)),
            _turn("assistant", _text(draw, REFLECTION)),
            number,
        )
        for number in range(count)
    )


def rows_of(kind: Kind, count: int) -> tuple[AnyExample, ...]:
    """Return the rows of a kind of training."""
    if kind == "dpo":
        return pairs(count)
    return worked_examples(count) if kind == "worked" else sft_examples(count)


def _prompt(draw: random.Random) -> tuple[Message, ...]:
    return (
        *_turn("user", _text(draw, QUESTION)),
        *_turn("assistant", _text(draw, ATTEMPT)),
        *_turn("user", _text(draw, (REQUEST, 0.0))),
    )


def _text(draw: random.Random, *parts: tuple[int, float]) -> str:
    return " ".join(draw.choice(_WORDS) for _ in range(sum(_length(draw, *part) for part in parts)))


def _length(draw: random.Random, mean: int, spread: float) -> int:
    """Draw a length from the log-normal distribution with this mean, scaled, never zero."""
    wanted = draw.lognormvariate(math.log(mean) - spread**2 / 2, spread)
    return max(1, round(min(wanted, LONGEST * mean) * SCALE))


def _turn(role: Literal["user", "assistant"], content: str) -> tuple[Message, ...]:
    return ({"role": role, "content": content},)
