"""Tests of the order of a rollout: no barrier between stages, its concurrency limit, and how it ends or resumes."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.generation.base import GenerationRequest
from engine.rollout.gauges import Gauges
from engine.rollout.plan import RolloutPlan, count
from engine.tasks.base import Verification
from store.records import StoredQuestion
from store.rollouts.attempts import rollout_attempts, rollout_reflections
from tests.engine.test_rollout import new_rows
from tests.support.rollout_plans import (
    KEYS,
    FakeGenerator,
    add_questions,
    make_plan,
    make_rollout,
    question_of,
    reply_to,
    run_plan,
    stage_of,
    stored,
    work,
)
from tests.support.rows import Rows
from tests.support.waiting import STALL_SECONDS


@pytest.fixture
def rows() -> Iterator[Rows]:
    """A database with questions of every verdict."""
    with new_rows() as made:
        add_questions(made)
        yield made


def test_stages_one_by_one_make_the_same_rows_as_all_at_once_with_rounds(rows: Rows) -> None:
    """In step pace the later rounds are generated in the stage of their corrections: the stage `reflect` is finished by
    then.
    """
    for stage in ("attempt", "reflect", "correct"):
        run_plan(rows, make_plan(rows, stages=(stage,), rounds=3))
    with new_rows() as flow:
        add_questions(flow)
        run_plan(flow, make_plan(flow, rounds=3))
        assert work(flow) == work(rows)
        assert max(row[1] for row in work(rows)) == 4


def test_stages_one_by_one_make_the_same_rows_as_all_at_once(rows: Rows) -> None:
    """Step pace and flow pace differ in the order of the work, never in its result."""
    for stage, asked in (("attempt", 6), ("reflect", 9), ("correct", 9)):
        generator = run_plan(rows, make_plan(rows, stages=(stage,)))
        assert [stage_of(request) for request in generator.requests] == [stage] * asked
    with new_rows() as flow:
        add_questions(flow)
        run_plan(flow, make_plan(flow))
        assert work(flow) == work(rows)


class _Killed(Exception):
    """Represents the end of the process in the middle of a generation."""


def _interrupted(rows: Rows, plan: RolloutPlan, number: int, concurrency: int, kill: bool) -> Gauges:
    """Run a plan that is killed, or stopped, at its `number`-th generation; return its gauges at that moment."""
    asked = itertools.count(1)

    async def before(request: GenerationRequest) -> None:
        if next(asked) == number:
            if kill:
                raise _Killed
            rollout.stop()

    rollout, gauges = make_rollout(rows, plan, FakeGenerator(before), concurrency=concurrency)
    with suppress(_Killed):
        asyncio.run(rollout.run())
    return gauges


@given(
    interrupts=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    concurrency=st.integers(1, 8),
    kill=st.booleans(),
    rounds=st.integers(1, 3),
    reflect_on_all=st.booleans(),
    extras=st.sampled_from([(1, 0), (2, 2)]),
    one_generation=st.booleans(),
    correction_samples=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_interrupted_anywhere_a_resumed_rollout_ends_with_the_same_rows(
    interrupts: list[int],
    concurrency: int,
    kill: bool,
    rounds: int,
    reflect_on_all: bool,
    extras: tuple[int, int],
    one_generation: bool,
    correction_samples: int,
) -> None:
    """Killed or stopped after any number of generations, the union is the uninterrupted set, without duplicates, and no
    stored text is generated again.
    """

    def plan(rows: Rows) -> RolloutPlan:
        return make_plan(
            rows,
            retries=extras[0],
            votes=extras[1],
            rounds=rounds,
            reflect_on_all=reflect_on_all,
            one_generation=one_generation,
            correction_samples=correction_samples,
        )

    with new_rows() as straight, new_rows() as broken:
        for rows in (straight, broken):
            add_questions(rows, {"incorrect": 2, "correct": 1, "unverified": 1})
        run_plan(straight, plan(straight))
        finished: Counter[str] = Counter()
        for number in interrupts:
            resumed = plan(broken)
            already = {row[4] for row in work(broken)}
            gauges = _interrupted(broken, resumed, number, concurrency, kill)
            finished.update(row[4] for row in work(broken) if row[1] >= 0 and row[4] not in already)
            # The gauges at this moment agree with a count of the rows.
            assert gauges.counts == count(resumed, stored(broken))
        last = run_plan(broken, plan(broken), concurrency=concurrency)
        finished.update(reply_to(request) for request in last.requests)
        assert work(broken) == work(straight)
        assert set(finished.values()) == {1}
        assert run_plan(broken, plan(broken)).requests == []


def test_a_reflection_starts_before_the_last_attempt_has_finished(rows: Rows) -> None:
    """No barrier: one slow attempt must not leave the accelerator idle."""
    corrected = asyncio.Event()

    async def before(request: GenerationRequest) -> None:
        if question_of(request) == "incorrect train 0" and stage_of(request) == "attempt":
            await corrected.wait()
        elif stage_of(request) == "correct":
            corrected.set()

    async def run() -> bool:
        rollout, _ = make_rollout(rows, make_plan(rows), FakeGenerator(before), concurrency=2)
        return await asyncio.wait_for(rollout.run(), STALL_SECONDS)

    assert asyncio.run(run())


def test_later_stages_go_first(rows: Rows) -> None:
    """Trajectories finish early while their prefix is still cached: with a concurrency of one, each question runs to
    its end.
    """
    generator = run_plan(rows, make_plan(rows, retries=1, votes=1), concurrency=1)
    wrong = ["attempt", *["reflect", "correct"] * len(KEYS), "retry"]
    assert [stage_of(request) for request in generator.requests] == [*wrong * 3, *["attempt"] * 3, *["attempt"] * 6]
    assert [request.temperature > 0 for request in generator.of("attempt")] == [False] * 6 + [True] * 6


def test_a_chain_runs_to_its_last_round_before_the_next_begins(rows: Rows) -> None:
    """Later rounds are prioritised too: the cache holds the newest attempt."""
    run_plan(rows, make_plan(rows, rounds=3), concurrency=1)
    chains = []
    reflections = {row.id: row for row in rollout_reflections(rows.connection, rows.iteration)}
    attempts = rollout_attempts(rows.connection, rows.iteration)
    by_id = {row.id: row for row in attempts}
    for correction in attempts:
        if correction.turn > 1:
            first = reflections[correction.reflection_id or 0]
            while by_id[first.attempt_id].turn > 1:
                first = reflections[by_id[first.attempt_id].reflection_id or 0]
            chains.append(first.id)
    assert chains == sorted(chains)


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_the_concurrency_limit_is_reached_and_never_passed(rows: Rows, limit: int) -> None:
    """The limit follows from the device's memory; staying below it wastes the device."""
    generator = run_plan(rows, make_plan(rows, retries=1), concurrency=limit)
    assert generator.widest == min(limit, 6 + 9)


def test_a_stop_finishes_what_is_in_flight_and_starts_nothing_new(rows: Rows) -> None:
    """Stopping loses no finished tokens and doesn't wait for the remaining work."""
    release = asyncio.Event()

    async def before(request: GenerationRequest) -> None:
        await release.wait()

    generator = FakeGenerator(before)
    rollout, gauges = make_rollout(rows, make_plan(rows), generator, concurrency=3)

    async def run() -> bool:
        running = asyncio.create_task(rollout.run())
        while generator.in_flight < 3:
            await asyncio.sleep(0)
        assert rollout.queued() == 3
        rollout.stop()
        release.set()
        return await asyncio.wait_for(running, STALL_SECONDS)

    assert asyncio.run(run()) is False
    assert len(generator.requests) == gauges.counts.done["attempt"] == 3
    assert gauges.in_flight == 0
    assert len(rollout_attempts(rows.connection, rows.iteration)) == 3


def test_a_bug_in_the_generator_ends_the_rollout_with_its_own_words(rows: Rows) -> None:
    """Only a known failure of one sample is data; any other exception must not become a thousand error rows."""

    async def before(request: GenerationRequest) -> None:
        if len(generator.requests) == 4:
            raise RuntimeError("CUDA error: device-side assert")

    generator = FakeGenerator(before)
    rollout, gauges = make_rollout(rows, make_plan(rows), generator, concurrency=2)
    with pytest.raises(RuntimeError, match="device-side assert"):
        asyncio.run(rollout.run())
    assert gauges.in_flight == 0
    assert all(row.error is None for row in rollout_attempts(rows.connection, rows.iteration))


def test_a_bug_in_the_judge_ends_the_rollout(rows: Rows) -> None:
    """A verifier that raises is a bug; its attempt is outstanding again."""
    rollout, _ = make_rollout(rows, make_plan(rows), FakeGenerator())

    async def broken(question: StoredQuestion, reply: str) -> Verification:
        raise KeyError("reference")

    rollout._steps._verify = broken
    with pytest.raises(KeyError):
        asyncio.run(rollout.run())
    assert rollout_attempts(rows.connection, rows.iteration) == []


def test_nothing_owed_asks_nothing() -> None:
    """A plan without questions, as without a held-out set, ends immediately and counts as complete."""
    with new_rows() as empty:
        plan = make_plan(empty)
        assert run_plan(empty, plan).requests == []
        assert count(plan, {}).complete
