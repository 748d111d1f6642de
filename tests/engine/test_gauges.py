"""Tests of the gauges: updated on one thread while another reads them, with live text for a few slots only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from engine.rollout.gauges import LIVE_SLOTS, Gauges
from engine.rollout.plan import Counts
from store.records import StoredQuestion
from tests.support.rollout_plans import generated

QUESTION = StoredQuestion(1, "quiz", "reasoning", "train", "q", (), "A", {}, "h")


def new_gauges() -> Gauges:
    stages = ("attempt", "reflect", "correct", "retry")
    return Gauges(Counts(dict.fromkeys(stages, 0), dict.fromkeys(stages, 0), dict.fromkeys(stages, 0)))


@pytest.fixture
def hectic() -> Iterator[None]:
    """Switch threads after every few steps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_reading_while_generations_come_and_go_never_fails(hectic: None) -> None:
    """The reporting thread must not fail on a list that changed during iteration: the worker would seem dead from then
    on.
    """
    gauges = new_gauges()
    ended = threading.Event()
    failures: list[Exception] = []

    def read() -> None:
        try:
            for _ in range(60):
                gauges.rates()
                for _ in range(20):
                    gauges.live()
        except (RuntimeError, KeyError) as error:
            failures.append(error)
        ended.set()

    reader = threading.Thread(target=read)
    reader.start()
    while not ended.is_set():
        shows = [gauges.started("attempt", QUESTION, "") for _ in range(3)]
        for show in shows:
            gauges.finished("attempt", generated("text"), show)
    reader.join()
    assert failures == []


def test_only_a_few_texts_are_streamed_and_their_slots_come_free() -> None:
    """Streaming costs the generator's front end; a failed generation must return its slot too."""
    gauges = new_gauges()
    shows = [gauges.started("reflect", QUESTION, "1-1-1") for _ in range(LIVE_SLOTS + 2)]
    assert [show is not None for show in shows] == [True] * LIVE_SLOTS + [False] * 2
    assert gauges.in_flight == LIVE_SLOTS + 2
    first = shows[0]
    assert first is not None
    first("so far")
    shown = gauges.live()[0]
    assert (shown.slot, shown.role, shown.instruction, shown.text) == (0, "reflect", "1-1-1", "so far")
    gauges.finished("reflect", None, first)
    assert [text.slot for text in gauges.live()] == [1]
    assert gauges.started("attempt", QUESTION, "") is not None
    assert [text.slot for text in gauges.live()] == [0, 1]


def test_rates_count_tokens_and_the_cached_share_of_prompts() -> None:
    """Throughput and prefix cache hits as the monitor shows them; a failed generation adds nothing."""
    gauges = new_gauges()
    assert gauges.rates()["prefix_cache_hit"] is None
    for _ in range(4):
        gauges.finished("attempt", generated("text"), gauges.started("attempt", QUESTION, ""))
    gauges.finished("attempt", None, gauges.started("attempt", QUESTION, ""))
    rates = gauges.rates()
    assert gauges.completion_tokens == 20
    assert rates["prefix_cache_hit"] == round(3 / 7, 3)
    assert rates["tokens_per_s"] is not None and 0 < rates["tokens_per_s"] <= 20
    assert gauges.in_flight == 0
