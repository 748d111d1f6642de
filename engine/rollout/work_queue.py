"""A priority queue of generation steps: the order in which outstanding work enters the running batch.

While the queued attempts would fill the batch, later stages have priority: trajectories finish early, and their prompts
share prefixes that are still cached. Once all remaining attempts fit into the batch, the step with the longest
remaining chain has priority (an attempt is still followed by reflections and corrections), because it would otherwise
run alone at the end of the plan. With 64 questions and 64 places this kept 61 places busy on average instead of 55
(SmolLM2-135M, vLLM on CPU).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from engine.rollout.plan import WorkKind

WorkItem = Callable[[], Awaitable[None]]

_DEPTH_FIRST: Mapping[WorkKind, int] = {
    "correct": 0,
    "resample": 1,
    "again": 2,
    "reflect": 2,
    "retry": 3,
    "attempt": 4,
    "vote": 5,
}
_LONGEST_FIRST: Mapping[WorkKind, int] = {
    "attempt": 0,
    "reflect": 1,
    "again": 1,
    "correct": 2,
    "resample": 3,
    "retry": 4,
    "vote": 5,
}
"""Priorities by kind of work; lower values run first. Nothing depends on votes, so they fill the remaining places."""


class _Owed(NamedTuple):
    rank: tuple[int, int, int]
    kind: WorkKind
    round: int
    number: int
    item: WorkItem


class WorkQueue(asyncio.Queue[_Owed]):
    """Outstanding generation steps in the order described in the module docstring.

    Args:
        places: number of texts generated concurrently.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._numbers = itertools.count()
        self._untried = 0
        self._ending = False
        super().__init__()

    def add(self, kind: WorkKind, round: int, item: WorkItem) -> None:
        """Enqueue an item of a kind of work (`engine.rollout.plan.STAGE_OF`) in a round of reflection."""
        number = next(self._numbers)
        self.put_nowait(_Owed(self._rank(kind, round, number), kind, round, number, item))

    def _rank(self, kind: WorkKind, round: int, number: int) -> tuple[int, int, int]:
        if self._ending:
            return _LONGEST_FIRST[kind], round, number
        return _DEPTH_FIRST[kind], -round, number

    # The methods that asyncio.Queue provides for subclasses to override.
    def _init(self, maxsize: int) -> None:
        self._queue: list[_Owed] = []

    def _put(self, item: _Owed) -> None:
        self._untried += item.kind == "attempt"
        heapq.heappush(self._queue, item)

    def _get(self) -> _Owed:
        if self._ending != (self._untried < self._places):
            self._ending = not self._ending
            self._queue = [
                _Owed(self._rank(one.kind, one.round, one.number), one.kind, one.round, one.number, one.item)
                for one in self._queue
            ]
            heapq.heapify(self._queue)
        item = heapq.heappop(self._queue)
        self._untried -= item.kind == "attempt"
        return item
