"""Throughput of the verifiers: mathematics, choices and programs through the pool of a rollout, against verifying the
same replies one after another.

Worker processes live as long as a rollout, so both sides are warm: before they are timed they have verified as many
other replies, because sympy caches its results in each process separately. One after another means the verifier called
in a loop, with no process or pool in between; a choice is verified in microseconds, where a pool gains nothing, so it
is only reported.

Two cores of a virtual machine do not always have twice the throughput of one. Their throughput in the same minute is
reported.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from random import Random

from engine.tasks import task_type
from engine.tasks.base import Verification
from engine.tasks.verifier_pool import VerifierPool
from store.records import StoredQuestion
from tests.bench.measure import Row

MATH, CHOICE, CODE = 160, 300, 60
AT_LEAST_A_CORE = 0.9
"""Minimum share of the available cores that the verifiers keep busy: 1.8 of two."""

ROUNDS = 3
_LONGEST = 300.0
"""Timeout in seconds."""

Item = tuple[StoredQuestion, str]
"""A question and a reply to it."""


def measure() -> list[Row]:
    """Return a row for each kind and one for all of them together, and the throughput of the machine without a pool."""
    cores = len(os.sched_getaffinity(0))
    target = AT_LEAST_A_CORE * cores
    draw = Random(0)
    kinds = {
        "math": [_math(draw, n) for n in range(MATH)],
        "code": [_code(draw, n) for n in range(CODE)],
        "choice": [_choice(draw, n) for n in range(CHOICE)],
    }
    mixed = [item for items in kinds.values() for item in items]
    draw.shuffle(mixed)
    rows = []
    for name, items in {**kinds, "all three mixed": mixed}.items():
        rounds = [_round(items) for _ in range(ROUNDS)]
        pool, loop = _median(rounds)
        rate = f"{len(items) / loop:,.0f}/s"
        bound = None if name == "choice" else target
        what = f"verdicts, {name} / one after another, {cores} cores"
        rows.append(Row(what, f"{len(items) / pool:,.0f}/s", rate, loop / pool, bound))
        if name != "choice":
            apart, loop = _median([(_loops_at_once(items, cores), loop) for _, loop in rounds])
            words = f"{len(items) / apart:,.0f}/s", f"{len(items) / loop:,.0f}/s"
            rows.append(Row(f"the machine: {cores} such loops at once, {name} / one", *words, loop / apart, None))
    return rows


def _median(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the pair whose ratio is the median."""
    return sorted(pairs, key=lambda pair: pair[1] / pair[0])[len(pairs) // 2]


def _round(items: Sequence[Item]) -> tuple[float, float]:
    """Return the seconds through the pool and one after another.

    The verdicts of both have to be the same, or the measurement is meaningless.
    """
    pool, found = asyncio.run(_through_pool(items))
    _judge_all(_others())
    started = time.perf_counter()
    expected = _judge_all(items)
    loop = time.perf_counter() - started
    if [one.verdict for one in found] != [one.verdict for one in expected]:
        raise RuntimeError("the pool and the loop came to different verdicts")
    if statistics.multimode(one.verdict for one in expected) == ["unverified"]:
        raise RuntimeError(f"nothing could be verified: {expected[0].detail}")
    return pool, loop


def _judge_all(items: Sequence[Item]) -> list[Verification]:
    return [task_type(q.task).verify(reply, q.reference, dict(q.payload)) for q, reply in items]


def _loops_at_once(items: Sequence[Item], cores: int) -> float:
    """Return the seconds for the same in as many processes, each with its share and a loop of its own.

    Nothing is passed between them, so this is the throughput of the cores when all of them work.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(cores + 1)
    loops = [context.Process(target=_own_loop, args=(items[n::cores], barrier)) for n in range(cores)]
    for one in loops:
        one.start()
    barrier.wait(_LONGEST)
    started = time.perf_counter()
    barrier.wait(_LONGEST)
    seconds = time.perf_counter() - started
    for one in loops:
        one.join()
    return seconds


def _own_loop(items: Sequence[Item], barrier: Barrier) -> None:
    _judge_all(_others())
    barrier.wait(_LONGEST)
    _judge_all(items)
    barrier.wait(_LONGEST)


def _others() -> list[Item]:
    draw = Random(1)
    return [_math(draw, n) for n in range(MATH)]


async def _through_pool(items: Sequence[Item]) -> tuple[float, list[Verification]]:
    verifiers = VerifierPool({name: name for name in ("math", "choice", "code")})
    try:
        await asyncio.gather(*(verifiers.verify(*item) for item in _others()))
        started = time.perf_counter()
        found = await asyncio.gather(*(verifiers.verify(*item) for item in items))
        return time.perf_counter() - started, found
    finally:
        verifiers.close()


def _question(number: int, kind: str, reference: str, payload: dict[str, object]) -> StoredQuestion:
    return StoredQuestion(number, kind, "bench", "train", f"Question {number}", (), reference, payload, str(number))


def _math(draw: Random, number: int) -> Item:
    """Return a result in another form than the reference, right or wrong."""
    a, b, c = draw.randint(2, 40), draw.randint(2, 40), draw.randint(2, 9)
    slip = draw.choice((0, 1))
    reference, answer = draw.choice(
        (
            (rf"\frac{{{a}}}{{{b}}}", rf"\frac{{{a * c + slip}}}{{{b * c}}}"),
            (rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b + slip}}}"),
            (f"x^2+{a + b}x+{a * b}", f"(x+{a})(x+{b + slip})"),
        )
    )
    reply = f"First both sides are multiplied by {c}.\nThen what is left is read off.\nAnswer: \\boxed{{{answer}}}"
    return _question(number, "math", reference, {}), reply


def _choice(draw: Random, number: int) -> Item:
    reply = f"The second premise rules out two options.\nAnswer: ({draw.choice('ABCD')})"
    return _question(number, "choice", draw.choice("ABCD"), {"letters": "ABCD"}), reply


def _code(draw: Random, number: int) -> Item:
    """Return a small program, right or wrong, with three tests."""
    step = draw.randint(1, 9)
    tests = [f"assert total({n}) == {sum(range(0, n, step))}" for n in (10, 50, 200)]
    reply = f"```python\ndef total(n):\n    return sum(range(0, n, {step + draw.choice((0, 1))}))\n```"
    payload: dict[str, object] = {"tests": tests, "setup": "", "seconds": 5.0, "memory_mib": 512}
    return _question(number, "code", "", payload), reply
