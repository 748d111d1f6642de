"""Tests of the verifier pool under hostile replies: a verifier that hangs or dies costs one `unverified`, never the
rollout.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from engine import tasks
from engine.tasks.base import Verification
from engine.tasks.verifier_pool import VerifierPool, _verify
from store.records import StoredQuestion
from tests.support.waiting import STALL_SECONDS

pytest.importorskip("math_verify")

HOSTILE = r"\boxed{9^{9^{9}}}"
"""Sympy computes a number of 370 million digits."""


def question(reference: str = "x+3", task: str = "sums") -> StoredQuestion:
    return StoredQuestion(1, task, "mathematics", "train", "q", (), reference, {}, "h")


def test_a_reply_that_hangs_its_verifier_is_unverified_and_the_next_is_judged() -> None:
    """One reply must not stop all verdicts, and it gets no guessed verdict."""

    async def run() -> list[Verification]:
        verifiers = VerifierPool({"sums": "math"}, seconds=STALL_SECONDS)
        try:
            first = await verifiers.verify(question(), r"\boxed{3+x}")
            (pid,) = verifiers.pids
            verifiers._seconds = 1.0
            second = await verifiers.verify(question(), HOSTILE)
            await gone(pid)
            verifiers._seconds = STALL_SECONDS
            return [first, second, await verifiers.verify(question(), r"\boxed{x+4}")]
        finally:
            verifiers.close()

    first, second, third = asyncio.run(run())
    assert first.verdict == "correct"
    assert (second.verdict, second.answer) == ("unverified", None)
    assert second.detail == "the verifier took longer than 1 s"
    assert third.verdict == "incorrect"


def test_a_verifier_that_is_killed_costs_one_verdict_even_among_many_at_once() -> None:
    """The kernel may kill the verifier for its memory; replies queued behind it are verified by a new process."""

    async def run() -> list[Verification]:
        verifiers = VerifierPool({"sums": "math"}, seconds=STALL_SECONDS, workers=1)
        try:
            await verifiers.verify(question(), r"\boxed{3+x}")
            hanging = asyncio.create_task(verifiers.verify(question(), HOSTILE))
            waiting = [asyncio.create_task(verifiers.verify(question(), r"\boxed{3+x}")) for _ in range(3)]
            await asyncio.sleep(0.3)
            for pid in verifiers.pids:
                os.kill(pid, signal.SIGKILL)
            return list(await asyncio.gather(hanging, *waiting))
        finally:
            verifiers.close()

    hanging, *waiting = asyncio.run(run())
    assert (hanging.verdict, hanging.detail) == ("unverified", "the verifier's process ended on this reply")
    assert [verification.verdict for verification in waiting] == ["correct"] * 3


def test_replies_are_judged_at_once_and_a_process_that_breaks_costs_its_own_reply_alone() -> None:
    """With two cores verdicts take half the time, and the reply that broke its process is still identified."""

    async def run() -> tuple[list[int], list[Verification]]:
        verifiers = VerifierPool({"sums": "math"}, seconds=STALL_SECONDS, workers=2)
        try:
            await asyncio.gather(*(verifiers.verify(question(), r"\boxed{3+x}") for _ in range(2)))
            before = verifiers.pids
            hanging = asyncio.create_task(verifiers.verify(question(), HOSTILE))
            beside = await asyncio.gather(*(verifiers.verify(question(), r"\boxed{x+3}") for _ in range(4)))
            assert not hanging.done(), "the others were judged while one process was busy"
            assert verifiers.pids == before
            for pid in before:
                os.kill(pid, signal.SIGKILL)
                await gone(pid)
            # One of the two was idle: its end must not be blamed on the next replies.
            after = [await verifiers.verify(question(), r"\boxed{x+3}") for _ in range(2)]
            return before, [await hanging, *beside, *after]
        finally:
            verifiers.close()

    before, (hanging, *others) = asyncio.run(run())
    assert len(set(before)) == 2
    assert (hanging.verdict, hanging.detail) == ("unverified", "the verifier's process ended on this reply")
    assert [verification.verdict for verification in others] == ["correct"] * 6


def test_a_bug_in_a_verifier_is_raised_with_the_place_it_came_from() -> None:
    """It must not count as a verdict, and not cost the process that continues to verify."""

    async def run() -> Verification:
        verifiers = VerifierPool({"sums": "math"}, workers=1)
        try:
            with pytest.raises((AttributeError, TypeError)) as caught:
                await verifiers.verify(question(reference=7), r"\boxed{3+x}")  # type: ignore[arg-type]
            assert "math_equality.py" in "".join(caught.value.__notes__)
            before = verifiers.pids
            verification = await verifiers.verify(question(), r"\boxed{3+x}")
            assert verifiers.pids == before
            return verification
        finally:
            verifiers.close()

    assert asyncio.run(run()).verdict == "correct"


_KILLED = """
import asyncio, os, signal
from engine.tasks.verifier_pool import VerifierPool
from tests.engine.test_verifier_pool import HOSTILE, question

async def run():
    verifiers = VerifierPool({"sums": "math"}, seconds=20, workers=1)
    await verifiers.verify(question(), HOSTILE.replace("9^{9^{9}}", "3"))
    verifiers._seconds = 1
    hanging = asyncio.create_task(verifiers.verify(question(), HOSTILE))
    await asyncio.sleep(0.3)
    print(*verifiers.pids, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    asyncio.run(run())
"""


def test_a_verifier_whose_engine_was_killed_does_not_go_on_for_ever(tmp_path: Path) -> None:
    """Symbolic mathematics that never ends would keep a core busy indefinitely."""
    script = tmp_path / "killed.py"
    script.write_text(_KILLED)
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, script], cwd=root, env=environment, stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        pid = int(engine.stdout.readline())
        assert engine.wait() == -signal.SIGKILL
        assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE, "it goes on at first"
        asyncio.run(gone(pid))


async def gone(pid: int) -> None:
    """Wait until an ended process is gone or a zombie, bounded by its CPU time, which a hanging one keeps using."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.status() != psutil.STATUS_ZOMBIE:
            assert process.cpu_times().user < 15.0, "the hanging process goes on eating the machine"
            await asyncio.sleep(0.01)


class _Hungry:
    """A task type whose verifier runs out of memory or of stack."""

    kind: ClassVar[str] = "hungry"
    isolated: ClassVar[bool] = True
    sandboxed: ClassVar[bool] = False

    def verify(self, reply: str, reference: str, payload: Mapping[str, object]) -> Verification:
        """Raises what the reply names."""
        raise {"memory": MemoryError(), "stack": RecursionError()}.get(reply, ValueError(reply))


def test_a_verifier_that_runs_into_its_limits_is_unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's memory limit shows as MemoryError, which must not end the rollout as if it were a bug."""
    monkeypatch.setattr(tasks, "TASK_TYPES", {"hungry": _Hungry()})
    for reply, name in (("memory", "MemoryError"), ("stack", "RecursionError")):
        verification = _verify("hungry", reply, "", {})
        assert verification.verdict == "unverified"
        assert name in verification.detail
    with pytest.raises(ValueError, match="a bug"):
        _verify("hungry", "a bug", "", {})


def test_what_can_not_hang_is_judged_without_a_process() -> None:
    """Letters and seeds need no worker; starting one would cost a second a run."""
    verifiers = VerifierPool({"quiz": "choice"})
    verification = asyncio.run(verifiers.verify(question("B", "quiz"), "Answer: B"))
    assert verification.verdict in ("correct", "incorrect")
    assert verifiers.pids == []


class _Waiting:
    """A task type that waits for a sandbox, as `code` does."""

    kind: ClassVar[str] = "waiting"
    isolated: ClassVar[bool] = False
    sandboxed: ClassVar[bool] = True

    def __init__(self, parties: int) -> None:
        self._all_here = threading.Barrier(parties)

    def verify(self, reply: str, reference: str, payload: Mapping[str, object]) -> Verification:
        """Returns only when the maximum number of callers is waiting."""
        self._all_here.wait(timeout=STALL_SECONDS)
        return Verification("correct", reply, "", 1.0, threading.current_thread().name)


def test_sandboxes_are_waited_for_beside_each_other_and_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that sleeps must stop neither the rollout nor the other verdicts."""
    monkeypatch.setattr(tasks, "TASK_TYPES", {"waiting": _Waiting(2)})

    async def run() -> list[Verification]:
        verifiers = VerifierPool({"programs": "waiting"}, workers=2)
        try:
            return await asyncio.gather(*(verifiers.verify(question(task="programs"), "r") for _ in range(4)))
        finally:
            verifiers.close()

    found = asyncio.run(run())
    assert [verification.verdict for verification in found] == ["correct"] * 4
    assert all(verification.detail.startswith("sandbox") for verification in found)
