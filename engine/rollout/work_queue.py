"""The order in which owed texts get a place in the running batch.

While questions wait that nobody has tried, later stages go first: trajectories finish early and their prompts find
their prefix still cached. When the questions that are left all have a place, the longest way goes first (an attempt
has its reflections and corrections still before it), because what starts last would otherwise run alone at the end of
the plan. With 64 questions in 64 places that kept 61 places busy on average instead of 55 (SmolLM2-135M, vLLM on CPU).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from engine.rollout.plan import WorkKind

WorkItem = Callable[[], Awaitable[None]]

_DEPTH_FIRST: Mapping[WorkKind, int] = {"correct": 0, "again": 1, "reflect": 1, "retry": 2, "attempt": 3, "vote": 4}
_LONGEST_FIRST: Mapping[WorkKind, int] = {"attempt": 0, "reflect": 1, "again": 1, "correct": 2, "retry": 3, "vote": 4}
"""Lower goes first. Votes have nothing behind them, and fill the places that are left."""


class _Owed(NamedTuple):
    rank: tuple[int, int, int]
    kind: WorkKind
    round: int
    number: int
    item: WorkItem


class WorkQueue(asyncio.Queue[_Owed]):
    """Owed texts, in the order above.

    Args:
        places: how many texts are generated at once.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._numbers = itertools.count()
        self._untried = 0
        self._ending = False
        super().__init__()

    def add(self, kind: WorkKind, round: int, item: WorkItem) -> None:
        """Queue the item of a kind of work (`engine.rollout.plan.STAGE_OF`) in a round of reflection."""
        number = next(self._numbers)
        self.put_nowait(_Owed(self._rank(kind, round, number), kind, round, number, item))

    def _rank(self, kind: WorkKind, round: int, number: int) -> tuple[int, int, int]:
        if self._ending:
            return _LONGEST_FIRST[kind], round, number
        return _DEPTH_FIRST[kind], -round, number

    # What asyncio.Queue leaves to its subclasses.
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
