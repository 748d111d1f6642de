"""Assigns to every wrong first answer what each arm of the controls shows in place of the policy's own reflection.

Pure and seeded: the same wrong answers and the same seed give the same assignment, so that an interrupted measurement
resumes with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Reflected:
    """A reflection on a wrong first answer. Exactly one of the ids is set.

    `answer` is equal for equivalent wrong answers; for a reply without a readable answer it is the reply itself.
    """

    question_id: int
    task: str
    answer: str
    text: str
    reflection_id: int | None = None
    control_id: int | None = None


def generic_words(reflections: Sequence[Reflected]) -> int:
    """Return the mean length of the reflections in words, rounded; 0 without any."""
    lengths = [len(one.text.split()) for one in reflections]
    return round(sum(lengths) / len(lengths)) if lengths else 0


def shuffled(reflections: Sequence[Reflected], draws: int, seed: int) -> list[dict[int, Reflected]]:
    """Assign to each wrong answer the reflection on another wrong answer of the same task, once per draw.

    No answer gets a reflection on an answer with the same text, so the reflections of a task whose wrong answers are
    all the same can't be shuffled: their questions are missing in the result. Where no wrong answer makes up more than
    half of a task, each draw uses every reflection once (a derangement), and the draws of a question differ as far as
    there are enough reflections. Otherwise the reflections on the rarer answers are used several times, equally often.

    Returns:
        For each draw the assigned reflection by question id.
    """
    found: list[dict[int, Reflected]] = [{} for _ in range(draws)]
    for task in sorted({one.task for one in reflections}):
        part = sorted((one for one in reflections if one.task == task), key=lambda one: one.question_id)
        for drawn, assigned in zip(found, _deranged(part, draws, Random(f"{seed}|shuffled|{task}")), strict=True):
            drawn.update(assigned)
    return found


def _deranged(part: Sequence[Reflected], draws: int, random: Random) -> list[dict[int, Reflected]]:
    strata: dict[str, list[Reflected]] = {}
    for one in part:
        strata.setdefault(one.answer, []).append(one)
    if len(strata) < 2:
        return [{} for _ in range(draws)]
    largest = max(len(stratum) for stratum in strata.values())
    if 2 * largest > len(part):
        return [_unbalanced(strata, random) for _ in range(draws)]
    # In an order by strata, a rotation by at least the largest stratum's size leads out of every stratum.
    found: list[dict[int, Reflected]] = []
    offsets = range(largest, len(part) - largest + 1)
    while len(found) < draws:
        names = sorted(strata)
        random.shuffle(names)
        order = [one for name in names for one in random.sample(strata[name], len(strata[name]))]
        for offset in random.sample(offsets, min(draws - len(found), len(offsets))):
            rotated = [*order[offset:], *order[:offset]]
            found.append({one.question_id: other for one, other in zip(order, rotated, strict=True)})
    return found


def _unbalanced(strata: Mapping[str, list[Reflected]], random: Random) -> dict[int, Reflected]:
    """Assign where one answer makes up more than half of the task, so that no derangement exists."""
    commonest = max(sorted(strata), key=lambda name: len(strata[name]))
    most = random.sample(strata[commonest], len(strata[commonest]))
    rest = [one for name in sorted(strata) if name != commonest for one in strata[name]]
    random.shuffle(rest)
    found = {one.question_id: rest[place % len(rest)] for place, one in enumerate(most)}
    return found | {one.question_id: most[place] for place, one in enumerate(rest)}


def foreign(reflections: Sequence[Reflected], seed: int) -> dict[int, Reflected]:
    """Assign to each wrong answer a reflection of another task, using the reflections of the others equally often.

    Returns:
        The assigned reflection by question id; empty if all reflections belong to one task.
    """
    found: dict[int, Reflected] = {}
    for task in sorted({one.task for one in reflections}):
        random = Random(f"{seed}|foreign|{task}")
        others = sorted((one for one in reflections if one.task != task), key=lambda one: one.question_id)
        random.shuffle(others)
        own = sorted((one for one in reflections if one.task == task), key=lambda one: one.question_id)
        found |= {one.question_id: others[place % len(others)] for place, one in enumerate(own) if others}
    return found
