"""Expected number of training examples of a question, by the rule that each training setting's rows follow."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

from store.curation.trained_rows import examples_of_question
from store.curation.training_settings import TRAINING_SETTINGS
from store.settings import RunSettings


def examples_of_attempt(settings: RunSettings, reflections: int, yield_share: float) -> float:
    """Return the mean number of training examples per wrong attempt, if its reflections succeed independently.

    For a setting on sampled first attempts, of a question whose samples are right independently.

    The result is an upper bound: it includes the caps per question, but no filters, no caps per task or instruction and
    no balance of right attempts. Pairs by lift are counted as pairs by verdict.

    Args:
        settings: of the run.
        reflections: number of reflections on the attempt.
        yield_share: share of reflections whose correction is right.
    """
    limit = settings.curation.max_per_question
    entry = TRAINING_SETTINGS[settings.training.setting]
    if entry.left_out_reasons:
        return float(reflections)
    if entry.judged:
        most = settings.judge.pairs_per_question
        return _pairs_of_attempt(reflections, settings.reflection.samples, yield_share, most, _both_right)
    if entry.paired and entry.row_source == "curated":
        return _pairs_of_attempt(reflections, settings.reflection.samples, yield_share, limit, _right_and_wrong)
    return sum(
        chance * examples_of_question(entry, right, reflections - right, limit)
        for right, chance in _binomial(reflections, yield_share)
    )


def _pairs_of_attempt(
    reflections: int, samples: int, yield_share: float, most: int, pairs_of: Callable[[int, int], int]
) -> float:
    """Return the mean number of pairs, at most `most`: those of one instruction, or if there is none, all others.

    Args:
        reflections: number of reflections on the attempt.
        samples: reflections per instruction; the last instruction has the rest.
        yield_share: share of reflections whose correction is right.
        most: cap on the number of pairs.
        pairs_of: number of pairs that some right and wrong reflections form.
    """
    # Probability by the number of pairs of one instruction so far (up to `most`) and the number of right reflections.
    states = {(0, 0): 1.0}
    for done in range(0, reflections, samples):
        size = min(samples, reflections - done)
        after: defaultdict[tuple[int, int], float] = defaultdict(float)
        for (pairs, right), chance in states.items():
            for more, share in _binomial(size, yield_share):
                after[min(most, pairs + pairs_of(more, size - more)), right + more] += chance * share
        states = after
    return sum(
        chance * (pairs or min(most, pairs_of(right, reflections - right))) for (pairs, right), chance in states.items()
    )


def _right_and_wrong(right: int, wrong: int) -> int:
    return right * wrong


def _both_right(right: int, wrong: int) -> int:
    return math.comb(right, 2)


def _binomial(tries: int, share: float) -> list[tuple[int, float]]:
    return [(n, math.comb(tries, n) * share**n * (1 - share) ** (tries - n)) for n in range(tries + 1)]
