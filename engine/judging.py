"""Judges replies beside the event loop, as many at once as there are cores.

Symbolic mathematics on a hostile reply can run for ever or eat all memory. Such verifiers run in worker processes,
each with one reply at a time, so that a process that has to be ended or breaks costs the verdict of its own reply
alone; that verdict is then `unverified`, never a guess. Verifiers that start a sandbox wait for it in threads. The
others take no time and run where they are.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from engine.tasks import task_type
from engine.tasks.base import Judgement, Sandboxed
from store.records import StoredQuestion

JUDGE_SECONDS = 20.0
"""Longest a verifier may take for one reply."""

START_SECONDS = 120.0
"""Longest a worker process may take to start, which is not counted against a reply."""

_MEMORY_BYTES = 2 * 2**30


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def _judge(kind: str, reply: str, reference: str, payload: dict[str, object]) -> Judgement:
    try:
        return task_type(kind).judge(reply, reference, payload)
    except (MemoryError, RecursionError) as error:
        return _unverified(f"the verifier gave up on this reply ({type(error).__name__})")


def _started() -> None:
    """Nothing: a worker that can do it has started, and has imported this module."""


class _Worker:
    """One process that judges one reply at a time; a new one takes its place when it was ended."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    @property
    def pids(self) -> list[int]:
        """The process, when there is one."""
        return list((self._pool._processes or {}) if self._pool is not None else {})

    async def judge(self, arguments: tuple[str, str, str, dict[str, object]], seconds: float) -> Judgement:
        """The verdict, or `unverified` when the process takes too long or ends. Cancelling ends the process."""
        judged = False
        if self._pool is not None and not all(process.is_alive() for process in self._pool._processes.values()):
            # It was killed while it had nothing to do; no reply is to blame.
            self.close()
        try:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    max_workers=1, mp_context=multiprocessing.get_context("spawn"), initializer=_limit_memory
                )
                # How long a process takes to start is no fault of the reply.
                await asyncio.wait_for(asyncio.wrap_future(self._pool.submit(_started)), START_SECONDS)
            future = self._pool.submit(_judge, *arguments)
            judgement = await asyncio.wait_for(asyncio.wrap_future(future), seconds)
            judged = True
            return judgement
        except TimeoutError:
            return _unverified(f"the verifier took longer than {seconds:.0f} s")
        except BrokenProcessPool:
            return _unverified("the verifier's process ended on this reply")
        finally:
            if not judged:
                self.close()

    def close(self) -> None:
        """End the process."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)


class Judges:
    """The verifiers of the tasks in a run.

    Args:
        kinds: task name → task type.
        seconds: longest a verifier in a worker process may take for one reply.
        workers: how many replies are judged at once; as many as there are cores by default.
    """

    def __init__(self, kinds: dict[str, str], seconds: float = JUDGE_SECONDS, workers: int | None = None) -> None:
        self._kinds = kinds
        self._seconds = seconds
        count = workers or len(os.sched_getaffinity(0))
        self._workers = [_Worker() for _ in range(count)]
        # The worker used last is taken first: a run with few replies to judge starts few processes.
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        for worker in reversed(self._workers):
            self._idle.put_nowait(worker)
        self._threads = ThreadPoolExecutor(max_workers=count, thread_name_prefix="sandbox")

    async def judge(self, question: StoredQuestion, reply: str) -> Judgement:
        """The verdict on a reply to a question."""
        kind = self._kinds[question.task]
        verifier = task_type(kind)
        arguments = (kind, reply, question.reference, dict(question.payload))
        if isinstance(verifier, Sandboxed) and verifier.sandboxed:
            return await asyncio.get_running_loop().run_in_executor(self._threads, _judge, *arguments)
        if not verifier.isolated:
            return _judge(*arguments)
        worker = await self._idle.get()
        try:
            return await worker.judge(arguments, self._seconds)
        finally:
            self._idle.put_nowait(worker)

    @property
    def pids(self) -> list[int]:
        """The worker processes there are now."""
        return [pid for worker in self._workers for pid in worker.pids]

    def close(self) -> None:
        """End the worker processes, and start no other sandbox; those under way end by their own limits."""
        for worker in self._workers:
            worker.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _unverified(detail: str) -> Judgement:
    return Judgement("unverified", None, "", None, detail)
