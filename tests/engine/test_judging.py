"""Protects verdicts from hostile replies: a verifier that hangs or dies costs one `unverified`, never the rollout."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from typing import ClassVar

import pytest

from engine import tasks
from engine.judging import Judges, _judge
from engine.tasks.base import Judgement
from store.records import StoredQuestion

pytest.importorskip("math_verify")

HOSTILE = r"\boxed{9^{9^{9}}}"
"""Sympy works out a number of 370 million digits."""


def question(reference: str = "x+3", task: str = "sums") -> StoredQuestion:
    return StoredQuestion(1, task, "mathematics", "train", "q", (), reference, {}, "h")


def test_a_reply_that_hangs_its_verifier_is_unverified_and_the_next_is_judged() -> None:
    """One reply must not stop all verdicts, and no verdict is guessed for it."""

    async def run() -> list[Judgement]:
        judges = Judges({"sums": "math"}, seconds=20)
        try:
            first = await judges.judge(question(), r"\boxed{3+x}")
            assert judges._pool is not None
            (worker,) = judges._pool._processes.values()
            judges._seconds = 1.0
            second = await judges.judge(question(), HOSTILE)
            worker.join(5)
            assert worker.exitcode == -signal.SIGKILL, "the hanging process must not go on eating the machine"
            judges._seconds = 20
            return [first, second, await judges.judge(question(), r"\boxed{x+4}")]
        finally:
            judges.close()

    first, second, third = asyncio.run(run())
    assert first.verdict == "correct"
    assert (second.verdict, second.answer) == ("unverified", None)
    assert second.detail == "the verifier took longer than 1 s"
    assert third.verdict == "incorrect"


def test_a_verifier_that_is_killed_costs_one_verdict_even_among_many_at_once() -> None:
    """The kernel may kill the verifier for its memory; replies that waited behind it are judged by a new process."""

    async def run() -> list[Judgement]:
        judges = Judges({"sums": "math"}, seconds=30)
        try:
            await judges.judge(question(), r"\boxed{3+x}")
            hanging = asyncio.create_task(judges.judge(question(), HOSTILE))
            waiting = [asyncio.create_task(judges.judge(question(), r"\boxed{3+x}")) for _ in range(3)]
            await asyncio.sleep(0.3)
            assert judges._pool is not None
            for pid in judges._pool._processes:
                os.kill(pid, signal.SIGKILL)
            return list(await asyncio.gather(hanging, *waiting))
        finally:
            judges.close()

    hanging, *waiting = asyncio.run(run())
    assert (hanging.verdict, hanging.detail) == ("unverified", "the verifier's process ended on this reply")
    assert [judgement.verdict for judgement in waiting] == ["correct"] * 3


class _Hungry:
    """A task type whose verifier runs out of memory or of stack."""

    kind: ClassVar[str] = "hungry"
    isolated: ClassVar[bool] = True

    def judge(self, reply: str, reference: str, payload: Mapping[str, object]) -> Judgement:
        """Raises what the reply names."""
        raise {"memory": MemoryError(), "stack": RecursionError()}.get(reply, ValueError(reply))


def test_a_verifier_that_runs_into_its_limits_is_unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's memory limit shows as MemoryError, which must not end the rollout as if it were a bug."""
    monkeypatch.setattr(tasks, "TASK_TYPES", {"hungry": _Hungry()})
    for reply, name in (("memory", "MemoryError"), ("stack", "RecursionError")):
        judgement = _judge("hungry", reply, "", {})
        assert judgement.verdict == "unverified"
        assert name in judgement.detail
    with pytest.raises(ValueError, match="a bug"):
        _judge("hungry", "a bug", "", {})


def test_what_can_not_hang_is_judged_without_a_process() -> None:
    """Letters and seeds need no worker; starting one would cost a second a run."""
    judges = Judges({"quiz": "choice"})
    judgement = asyncio.run(judges.judge(question("B", "quiz"), "Answer: B"))
    assert judgement.verdict in ("correct", "incorrect")
    assert judges._pool is None
