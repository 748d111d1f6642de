"""Grounded reflections: those that name something specific to their own question or attempt.

A reflection is grounded if the tokens that it shares with its question and attempt fit them better than they fit 90 %
of the task's other questions. Tokens of the request, and tokens that most reflections of the task contain, don't count;
the others weigh log(n / number of questions with the token), so that the wording of a template weighs nothing.

By construction a fixed sentence is grounded for at most about a tenth of the questions, whatever it contains, and so is
a reflection on another question. Being grounded doesn't mean being right. Pure; independent of the database.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from engine.curation.seeded_sample import SAMPLE, drawn, measured_sample
from engine.curation.specific_tokens import specific_tokens
from engine.curation.task_shares import Shares, TaskShare

OTHERS_AS_CLOSE = 0.1
"""Largest share of a task's other questions that a grounded reflection may fit as well as its own."""

FEWEST_QUESTIONS = 10
"""Minimum number of questions of a task; with fewer, its reflections aren't measured."""

QUESTIONS = 200
"""Maximum number of questions of a task that a reflection is compared with."""

_COMMON = 0.5
"""Tokens in more than this share of a task's reflections don't count."""


@dataclass(frozen=True, slots=True)
class Reflected:
    """A reflection with what it may name."""

    task: str
    question_id: int
    source: str
    """The question with its options, and the attempt."""
    request: str
    """The request for the reflection with its instruction, and the task's format instruction."""
    text: str


def grounded(reflections: Mapping[int, Reflected], seed: int, most: int = SAMPLE) -> Shares:
    """Return the share of grounded reflections by task, of at most `most` reflections drawn by seed.

    Args:
        reflections: reflection id → reflection, all of one iteration.
        seed: the seed of the sample.
        most: maximum number of measured reflections over all tasks.
    """
    found = {}
    measured: dict[str, list[int]] = defaultdict(list)
    for number in measured_sample(reflections, seed, most):
        measured[reflections[number].task].append(number)
    by_task: dict[str, list[int]] = defaultdict(list)
    for number in sorted(reflections):
        by_task[reflections[number].task].append(number)
    for task in sorted(measured):
        wanted = [reflections[number] for number in measured[task]]
        others = drawn(by_task[task], "grounded", seed, len(by_task[task]))
        pool = _one_per_question([*measured[task], *others], reflections)
        if len(pool) >= FEWEST_QUESTIONS:
            hits = _hits(wanted, pool)
            found[task] = TaskShare(sum(hits), len(hits), len({one.question_id for one in wanted}))
    return found


def _one_per_question(numbers: Sequence[int], reflections: Mapping[int, Reflected]) -> list[Reflected]:
    pool: dict[int, Reflected] = {}
    for number in numbers:
        if len(pool) == QUESTIONS:
            break
        pool.setdefault(reflections[number].question_id, reflections[number])
    return list(pool.values())


def _hits(wanted: Sequence[Reflected], pool: Sequence[Reflected]) -> list[bool]:
    tokens = lru_cache(maxsize=4 * QUESTIONS)(specific_tokens)
    asked: dict[str, list[int]] = defaultdict(list)
    for position, one in enumerate(pool):
        for token in tokens(one.source):
            asked[token].append(position)
    written = Counter(token for one in pool for token in tokens(one.text))
    position_of = {one.question_id: position for position, one in enumerate(pool)}

    def hit(one: Reflected) -> bool:
        told = tokens(one.text) - tokens(one.request)
        weights = {
            token: math.log(len(pool) / max(len(asked.get(token, ())), 1))
            for token in told
            if written[token] <= _COMMON * len(pool)
        }
        own = math.fsum(weights.get(token, 0.0) for token in told & tokens(one.source))
        if own <= 0:
            return False
        shared: dict[int, list[float]] = defaultdict(list)
        for token, weight in weights.items():
            for position in asked.get(token, ()):
                shared[position].append(weight)
        shared.pop(position_of.get(one.question_id, -1), None)
        as_close = sum(math.fsum(parts) >= own for parts in shared.values())
        return as_close <= OTHERS_AS_CLOSE * (len(pool) - 1)

    return [hit(one) for one in wanted]
