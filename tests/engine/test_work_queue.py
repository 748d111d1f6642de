"""Tests of the order of outstanding generations: depth first while questions wait, the longest chain first at the
end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from engine.rollout.plan import STAGE_OF
from engine.rollout.work_queue import WorkQueue


async def _nothing() -> None:
    """A job."""


def _drain(places: int, owed: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    async def drained() -> list[tuple[str, int]]:
        queue = WorkQueue(places)
        for kind, round in owed:
            queue.add(kind, round, _nothing)
        taken = [queue.get_nowait() for _ in owed]
        assert queue.empty()
        return [(one.kind, one.round) for one in taken]

    return asyncio.run(drained())


def test_later_stages_and_rounds_go_first_while_untried_questions_wait() -> None:
    """Trajectories then finish early in a long plan."""
    owed = [("vote", 1), ("attempt", 1), ("attempt", 1), ("retry", 1), ("reflect", 1), ("again", 2), ("correct", 1)]
    taken = _drain(1, [*owed, ("correct", 2)])
    assert taken[:6] == [("correct", 2), ("correct", 1), ("again", 2), ("reflect", 1), ("retry", 1), ("attempt", 1)]


def test_the_longest_way_goes_first_once_every_question_has_a_place() -> None:
    """At the end of a plan no long chain remains to run alone; votes fill the remaining slots."""
    owed = [("vote", 1), ("correct", 2), ("correct", 1), ("retry", 1), ("again", 2), ("reflect", 1), ("attempt", 1)]
    assert _drain(4, owed) == [
        ("attempt", 1),
        ("reflect", 1),
        ("again", 2),
        ("correct", 1),
        ("correct", 2),
        ("retry", 1),
        ("vote", 1),
    ]


def test_the_order_changes_when_the_untried_questions_fall_below_the_places() -> None:
    """Items queued before the change are reordered too."""
    owed = [("attempt", 1), ("attempt", 1), ("attempt", 1), ("correct", 1), ("reflect", 1)]
    assert [kind for kind, _ in _drain(3, owed)] == ["correct", "reflect", "attempt", "attempt", "attempt"]
    assert [kind for kind, _ in _drain(4, owed)] == ["attempt", "attempt", "attempt", "reflect", "correct"]


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from(sorted(STAGE_OF)), st.integers(1, 3)), max_size=30))
def test_nothing_is_lost_or_doubled(places: int, owed: list[tuple[str, int]]) -> None:
    """Every queued item is returned exactly once."""
    assert sorted(_drain(places, owed)) == sorted(owed)
