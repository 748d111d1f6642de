"""Expected number of training examples of a question, by the rule that each training setting's rows follow."""

from __future__ import annotations

import math

from store.curation.trained_rows import examples_of_question
from store.curation.training_settings import TRAINING_SETTINGS
from store.settings import RunSettings


def examples_of_attempt(settings: RunSettings, reflections: int, yield_share: float) -> float:
    """Return the mean number of training examples per wrong attempt, if its reflections succeed independently.

    For a setting on sampled first attempts, of a question whose samples are right independently.

    The result is an upper bound: it includes the caps per question, but no filters and no caps per task or instruction.

    Args:
        settings: of the run.
        reflections: number of reflections on the attempt.
        yield_share: share of reflections whose correction is right.
    """
    limit = settings.curation.max_per_question
    entry = TRAINING_SETTINGS[settings.training.setting]
    if entry.left_out_reasons:
        return float(reflections)
    mean = 0.0
    for right in range(reflections + 1):
        chance = math.comb(reflections, right) * yield_share**right * (1 - yield_share) ** (reflections - right)
        if entry.judged:
            made = min(settings.judge.pairs_per_question, math.comb(right, 2))
        else:
            made = examples_of_question(entry, right, reflections - right, limit)
        mean += chance * made
    return mean
