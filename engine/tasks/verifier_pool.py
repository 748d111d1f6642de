"""VerifierPool replies beside the event loop, as many at once as there are cores.

Symbolic mathematics on a hostile reply can run for ever or eat all memory. Such verifiers run in worker processes,
each with one reply at a time, so that a process that has to be ended or breaks costs the verdict of its own reply
alone; that verdict is then `unverified`, never a guess. Verifiers that start a sandbox wait for it in threads. The
others take no time and run where they are.
"""

from __future__ import annotations

import asyncio
import contextlib
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

JUDGE_SECONDS = 20.0
"""Longest a verifier may take for one reply."""

START_SECONDS = 600.0
"""Longest a worker process may take to start, which is not counted against a reply. It takes two seconds, minutes on
a machine under heavy load, and one that never starts costs a verdict."""

_MEMORY_BYTES = 2 * 2**30
_ALONE_SECONDS = 5
"""How much longer a worker goes on whose engine was killed."""

Arguments = tuple[str, str, str, dict[str, object]]
"""Task type, reply, reference and what else belongs to the question."""

_OursToTheirs: TypeAlias = "Connection[tuple[float, Arguments], Verification | Exception | None]"
_TheirsToOurs: TypeAlias = "Connection[Verification | Exception | None, tuple[float, Arguments]]"
"""Seconds and arguments one way; back nothing when the process has started, then verdicts or what went wrong."""


def _verify(kind: str, reply: str, reference: str, payload: dict[str, object]) -> Verification:
    try:
        return task_type(kind).verify(reply, reference, payload)
    except (MemoryError, RecursionError) as error:
        return _unverified(f"the verifier failed on this reply ({type(error).__name__})")


def _serve(pipe: _TheirsToOurs) -> None:
    """What a worker process does: verify what comes until the pipe is closed, also by an engine that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    with contextlib.suppress(EOFError, OSError):
        # It has started, and has imported this module.
        pipe.send(None)
        while True:
            seconds, arguments = pipe.recv()
            answer: Verification | Exception
            # Ends this process, whatever it is in, when nobody is there any more to do so.
            signal.alarm(math.ceil(seconds) + _ALONE_SECONDS)
            try:
                answer = _verify(*arguments)
            except Exception as error:  # noqa: BLE001 - a bug is raised where the verdict is waited for
                error.add_note(f"In the verifier's process:\n{traceback.format_exc()}")
                answer = error
            signal.alarm(0)
            pipe.send(answer)


class _Ended(Exception):
    """The worker's process is not there any more."""


def _send(pipe: _OursToTheirs, message: tuple[float, Arguments]) -> None:
    try:
        pipe.send(message)
    except OSError as error:
        raise _Ended from error


def _tell(here: asyncio.Future[None]) -> None:
    if not here.done():
        here.set_result(None)


class _Worker:
    """One process that verifiers one reply at a time; a new one takes its place when it was ended.

    Its pipe belongs to the event loop: no thread stands between a reply and its verdict.
    """

    def __init__(self) -> None:
        self._process: SpawnProcess | None = None
        self._pipe: _OursToTheirs | None = None

    @property
    def pids(self) -> list[int]:
        """The process, when there is one."""
        return [self._process.pid] if self._process is not None and self._process.pid is not None else []

    async def verify(self, arguments: Arguments, seconds: float) -> Verification:
        """The verdict, or `unverified` when the process takes too long or ends. Cancelling ends the process."""
        if self._process is not None and not self._process.is_alive():
            # It was killed while it had nothing to do; no reply is to blame.
            self.close()
        answer: Verification | Exception | None = None
        try:
            if self._pipe is None:
                self._pipe = self._start()
                # How long a process takes to start is no fault of the reply.
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
        """The next thing the process says. Raises _Ended."""
        loop = asyncio.get_running_loop()
        here = loop.create_future()
        loop.add_reader(pipe.fileno(), _tell, here)
        try:
            await here
        finally:
            loop.remove_reader(pipe.fileno())
        try:
            return pipe.recv()
        except (EOFError, OSError) as error:
            raise _Ended from error

    def close(self) -> None:
        """End the process."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if process is not None and process.pid is not None:
            # Not waited for: freeing two gibibytes takes a while, and the next start clears the corpse away.
            process.kill()
        if pipe is not None:
            pipe.close()


class VerifierPool:
    """The verifiers of the tasks in a run.

    Args:
        kinds: task name → task type.
        seconds: longest a verifier in a worker process may take for one reply.
        workers: how many replies are judged at once; as many as there are cores by default, and one program more:
            while one is set up or cleared away its core has nothing to do, an eighth of the time (measured on 2).
    """

    def __init__(self, kinds: dict[str, str], seconds: float = JUDGE_SECONDS, workers: int | None = None) -> None:
        self._kinds = kinds
        self._seconds = seconds
        count = workers or len(os.sched_getaffinity(0))
        self._workers = [_Worker() for _ in range(count)]
        # The worker used last is taken first: a run with few replies to verify starts few processes.
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        for worker in reversed(self._workers):
            self._idle.put_nowait(worker)
        self._threads = ThreadPoolExecutor(max_workers=count + 1, thread_name_prefix="sandbox")

    async def verify(self, question: StoredQuestion, reply: str) -> Verification:
        """The verdict on a reply to a question."""
        kind = self._kinds[question.task]
        verifier = task_type(kind)
        arguments = (kind, reply, question.reference, dict(question.payload))
        if verifier.sandboxed:
            return await asyncio.get_running_loop().run_in_executor(self._threads, _verify, *arguments)
        if not verifier.isolated:
            return _verify(*arguments)
        worker = await self._idle.get()
        try:
            return await worker.verify(arguments, self._seconds)
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


def _unverified(detail: str) -> Verification:
    return Verification("unverified", None, "", None, detail)
