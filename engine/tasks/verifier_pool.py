"""A pool that verifies replies outside the event loop, as many concurrently as there are cores.

Symbolic computation on a hostile reply can run forever or exhaust memory. Such verifiers run in worker processes, one
reply at a time each, so that a process that crashes or has to be killed affects only the verdict of its own reply,
which becomes `unverified`, never a guess. Verifiers that start a sandbox wait for it in threads. All others take
negligible time and run directly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import multiprocessing
import os
import resource
import signal
import traceback
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import TypeAlias

from engine.tasks import task_type
from engine.tasks.base import Verification
from store.records import StoredQuestion

_LOG = logging.getLogger(__name__)

VERIFY_SECONDS = 20.0
"""Timeout of a verifier for one reply, in seconds."""

START_SECONDS = 600.0
"""Timeout of the start of a worker process, in seconds, which does not count towards the timeout of a reply. The start
takes two seconds, or minutes on a machine under heavy load; a worker that never starts costs a verdict."""

_MEMORY_BYTES = 2 * 2**30
_ALONE_SECONDS = 5
"""Seconds beyond the timeout after which a worker ends itself, in case its engine was killed."""

Arguments = tuple[str, str, str, dict[str, object], str]
"""Task type, reply, reference and payload of the question, and why the reply ended."""

_OursToTheirs: TypeAlias = "Connection[tuple[float, Arguments], Verification | Exception | None]"
_TheirsToOurs: TypeAlias = "Connection[Verification | Exception | None, tuple[float, Arguments]]"
"""The pipe carries timeouts and arguments to the worker; back come None once it has started, then results or errors."""


def _verify(
    kind: str, reply: str, reference: str, payload: dict[str, object], finish_reason: str = "stop"
) -> Verification:
    try:
        if finish_reason == "length":
            return task_type(kind).verify_finished(reply, reference, payload, finish_reason)
        return task_type(kind).verify(reply, reference, payload)
    except (MemoryError, RecursionError) as error:
        return _unverified(f"the verifier failed on this reply ({type(error).__name__})")


def _serve(pipe: _TheirsToOurs) -> None:
    """Run a worker process: verify replies until the pipe is closed, by the engine or because the engine was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    with contextlib.suppress(EOFError, OSError):
        # Reports that the process has started and imported this module.
        pipe.send(None)
        while True:
            seconds, arguments = pipe.recv()
            answer: Verification | Exception
            # Ends this process at any point of its computation if the engine is no longer there to kill it.
            signal.alarm(math.ceil(seconds) + _ALONE_SECONDS)
            try:
                answer = _verify(*arguments)
            except Exception as error:  # noqa: BLE001 - a bug is raised again in the engine, which awaits the result
                error.add_note(f"In the verifier's process:\n{traceback.format_exc()}")
                answer = error
            signal.alarm(0)
            pipe.send(answer)


class _Ended(Exception):
    """The worker process has ended."""


def _send(pipe: _OursToTheirs, message: tuple[float, Arguments]) -> None:
    try:
        pipe.send(message)
    except OSError as error:
        raise _Ended from error


def _resolve(here: asyncio.Future[None]) -> None:
    if not here.done():
        here.set_result(None)


class _Worker:
    """One process that verifies one reply at a time and is replaced by a new one if it ends.

    Its pipe is read by the event loop, so that no thread is needed to wait for a verdict.
    """

    def __init__(self) -> None:
        self._process: SpawnProcess | None = None
        self._pipe: _OursToTheirs | None = None

    @property
    def pids(self) -> list[int]:
        """The id of the process, if it is running."""
        return [self._process.pid] if self._process is not None and self._process.pid is not None else []

    async def verify(self, arguments: Arguments, seconds: float) -> Verification:
        """Verify a reply; `unverified` if the process takes too long or ends. Cancellation kills the process."""
        if self._process is not None and not self._process.is_alive():
            # It was killed while idle, which is not the fault of this reply.
            self.close()
        answer: Verification | Exception | None = None
        try:
            if self._pipe is None:
                self._pipe = self._start()
                # The start of a process does not count towards the timeout of the reply.
                async with asyncio.timeout(START_SECONDS):
                    await self._answer(self._pipe)
            _send(self._pipe, (seconds, arguments))
            async with asyncio.timeout(seconds):
                answer = await self._answer(self._pipe)
        except TimeoutError:
            return _unverified(f"the verifier took longer than {seconds:.0f} s")
        except _Ended:
            return _unverified("the verifier's process ended on this reply")
        finally:
            if answer is None:
                self.close()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer

    def _start(self) -> _OursToTheirs:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name="verifier", daemon=True)
        with theirs:
            self._process.start()
        return ours

    @staticmethod
    async def _answer(pipe: _OursToTheirs) -> Verification | Exception | None:
        """Return the next message of the process. Raises _Ended."""
        loop = asyncio.get_running_loop()
        here = loop.create_future()
        loop.add_reader(pipe.fileno(), _resolve, here)
        try:
            await here
        finally:
            loop.remove_reader(pipe.fileno())
        try:
            return pipe.recv()
        except (EOFError, OSError) as error:
            raise _Ended from error

    def close(self) -> None:
        """Kill the process."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if process is not None and process.pid is not None:
            # Not waited for: freeing two gibibytes takes a while, and the next start reaps the process.
            process.kill()
        if pipe is not None:
            pipe.close()


class VerifierPool:
    """The verifiers of all tasks of a run.

    Args:
        kinds: task name → task type.
        seconds: timeout of a verifier in a worker process for one reply.
        workers: number of replies verified concurrently, by default the number of cores. One more program than that
            runs in a sandbox, because setting up and removing a sandbox leaves its core idle for an eighth of the time
            (measured on 2 cores).
    """

    def __init__(self, kinds: dict[str, str], seconds: float = VERIFY_SECONDS, workers: int | None = None) -> None:
        self._kinds = kinds
        self._seconds = seconds
        count = workers or len(os.sched_getaffinity(0))
        self._workers = [_Worker() for _ in range(count)]
        # Last in, first out, so that a run with few replies to verify starts few processes.
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        for worker in reversed(self._workers):
            self._idle.put_nowait(worker)
        self._threads = ThreadPoolExecutor(max_workers=count + 1, thread_name_prefix="sandbox")

    async def verify(self, question: StoredQuestion, reply: str, finish_reason: str = "stop") -> Verification:
        """Verify a reply to a question.

        Args:
            question: the question.
            reply: the complete reply, or the part of it that is verified.
            finish_reason: why its generation ended; a reply that ended at its `length` inside its answer is
            `unverified`.
        """
        kind = self._kinds[question.task]
        verifier = task_type(kind)
        arguments = (kind, reply, question.reference, dict(question.payload), finish_reason)
        if verifier.sandboxed:
            return await asyncio.get_running_loop().run_in_executor(self._threads, _verify, *arguments)
        if not verifier.isolated:
            return _verify(*arguments)
        worker = await self._idle.get()
        try:
            verification = await worker.verify(arguments, self._seconds)
        finally:
            self._idle.put_nowait(worker)
        if verification.verdict == "unverified" and not verification.rule:
            _LOG.warning("question %d of task %r: %s: %.80r", question.id, question.task, verification.detail, reply)
        return verification

    @property
    def pids(self) -> list[int]:
        """The ids of the running worker processes."""
        return [pid for worker in self._workers for pid in worker.pids]

    def close(self) -> None:
        """Kill the worker processes and cancel queued sandbox runs; running sandboxes end by their own limits."""
        for worker in self._workers:
            worker.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _unverified(detail: str) -> Verification:
    return Verification("unverified", None, "", None, detail)
