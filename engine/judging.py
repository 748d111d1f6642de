"""Judges replies beside the event loop: inline where that is safe, in a process of its own where it may hang.

Symbolic mathematics on a hostile reply can run for ever or eat all memory. Such verifiers run in a worker
process that is ended when it takes too long; the verdict is then `unverified`, never a guess.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from engine.tasks import task_type
from engine.tasks.base import Judgement
from store.records import StoredQuestion

JUDGE_SECONDS = 20.0
"""Longest a verifier may take for one reply, the start of its process included."""

_MEMORY_BYTES = 2 * 2**30


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def _judge(kind: str, reply: str, reference: str, payload: dict[str, object]) -> Judgement:
    try:
        return task_type(kind).judge(reply, reference, payload)
    except (MemoryError, RecursionError) as error:
        return _unverified(f"the verifier gave up on this reply ({type(error).__name__})")


class Judges:
    """The verifiers of the tasks in a run.

    Args:
        kinds: task name → task type.
        seconds: longest a verifier may take for one reply, its process's start included.
    """

    def __init__(self, kinds: dict[str, str], seconds: float = JUDGE_SECONDS) -> None:
        self._kinds = kinds
        self._seconds = seconds
        self._pool: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()

    async def judge(self, question: StoredQuestion, reply: str) -> Judgement:
        """The verdict on a reply to a question."""
        kind = self._kinds[question.task]
        if not task_type(kind).isolated:
            return _judge(kind, reply, question.reference, dict(question.payload))
        # One at a time: when the process breaks, it is clear on which reply.
        async with self._turn:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    max_workers=1, mp_context=multiprocessing.get_context("spawn"), initializer=_limit_memory
                )
            future = self._pool.submit(_judge, kind, reply, question.reference, dict(question.payload))
            try:
                return await asyncio.wait_for(asyncio.wrap_future(future), self._seconds)
            except TimeoutError:
                self.close()
                return _unverified(f"the verifier took longer than {self._seconds:.0f} s")
            except BrokenProcessPool:
                self.close()
                return _unverified("the verifier's process ended on this reply")

    def close(self) -> None:
        """End the worker process; the next reply that needs one starts another."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)


def _unverified(detail: str) -> Judgement:
    return Judgement("unverified", None, "", None, detail)
