"""The expected number of training examples per attempt, before an iteration has been curated. Pure arithmetic."""

from __future__ import annotations

import math

from store.curation.training_settings import TRAINING_SETTINGS
from store.settings import RunSettings


def examples_of_attempt(settings: RunSettings, reflections: int, yield_share: float) -> float:
    """Return the mean number of training examples per wrong attempt, if its reflections succeed independently.

    The result is an upper bound: it includes the caps per question, but no filters and no caps per task or instruction.

    Args:
        settings: of the run.
        reflections: number of reflections on the attempt.
        yield_share: share of reflections whose correction is right.
    """
    limit = settings.curation.max_per_question
    set_name = TRAINING_SETTINGS[settings.training.setting].set_name
    mean = 0.0
    for right in range(reflections + 1):
        chance = math.comb(reflections, right) * yield_share**right * (1 - yield_share) ** (reflections - right)
        if set_name == "d_pm":
            made = min(limit, right * (reflections - right))
        elif set_name == "d_pref":
            made = min(settings.judge.pairs_per_question, math.comb(right, 2))
        else:
            made = min(limit, right)
        mean += chance * made
    return mean
