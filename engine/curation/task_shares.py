"""Shares of an iteration's reflections by task, and whether such a share fell by more than sampling noise.

Pure; independent of what the shares are of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

_Z = 1.96
"""Quantile of the two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class TaskShare:
    """The share of the measured reflections of one task that have a property."""

    hits: int
    measured: int
    questions: int
    """Number of distinct questions of the measured reflections: several reflections on one question are not
    independent, so that noise is computed from this number."""


Shares = Mapping[str, TaskShare]
"""Shares by task; tasks without measured reflections are absent."""


def overall(shares: Shares) -> float | None:
    """Return the share over all measured reflections; None if none was measured."""
    measured = sum(one.measured for one in shares.values())
    return sum(one.hits for one in shares.values()) / measured if measured else None


@dataclass(frozen=True, slots=True)
class Drop:
    """A share in two iterations, over the tasks measured in both, weighted as in the later one."""

    then: float
    now: float
    noise: float
    """Half the width of the 95 % interval of the difference."""

    @property
    def certain(self) -> bool:
        """Whether the share fell by more than sampling noise."""
        return self.then - self.now > self.noise


def drop(now: Shares, then: Shares) -> Drop | None:
    """Compare the shares of two iterations; None if no task was measured in both.

    Both are weighted by the later iteration's tasks, because another mix of tasks changes an overall share although no
    task changed. Noise: normal approximation over distinct questions, with one hit and one miss added to each share
    (Agresti and Caffo 2000).
    """
    tasks = sorted(task for task in now if task in then)
    total = sum(now[task].measured for task in tasks)
    if not total:
        return None
    weights = {task: now[task].measured / total for task in tasks}
    variance = math.fsum(weights[task] ** 2 * (_variance(now[task]) + _variance(then[task])) for task in tasks)
    before, after = (
        math.fsum(weights[task] * shares[task].hits / shares[task].measured for task in tasks) for shares in (then, now)
    )
    return Drop(before, after, _Z * math.sqrt(variance))


def _variance(one: TaskShare) -> float:
    n = one.questions
    share = (one.hits / one.measured * n + 1) / (n + 2)
    return share * (1 - share) / (n + 2)
