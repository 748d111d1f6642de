"""Executes a rollout plan: streams outstanding attempts, reflections and corrections through a generator.

There is no barrier between the stages: an incorrect verdict immediately enqueues its reflections, and each reflection
its correction; `engine.rollout.work_queue` defines the order. The runner depends only on generators, a verify function
and a writer, never on a database or a device, so that they could run on a cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from engine.generation.base import Generator
from engine.rollout.generation_steps import Reflected, Steps, Verify, Watcher
from engine.rollout.plan import STAGE_OF, Chain, Done, RolloutPlan, WorkKind
from engine.rollout.work_queue import WorkItem, WorkQueue
from store.records import StoredQuestion
from store.rollouts.attempts import NewAttempt, NewReflection


class Writer(Protocol):
    """Storage of finished work. Each call returns once the row is committed."""

    async def attempt(self, attempt: NewAttempt, *, ends_trajectory: tuple[int | None, int | None] | None) -> int:
        """Store an attempt and return its id.

        `ends_trajectory` identifies the trajectory that the attempt completes: the id of the attempt that was reflected
        on (None for this one) and the id of the reflection; None if it completes no trajectory.
        """

    async def reflection(self, reflection: NewReflection, *, ends_trajectory: bool) -> int:
        """Store a reflection and return its id; a failed reflection ends its trajectory."""

    async def one_reply(self, reflection: NewReflection, correction: NewAttempt) -> tuple[int, int]:
        """Store a reflection with the correction of the same reply, and the trajectory that they complete; both or
        none. Returns the ids of both."""


class RolloutRunner:
    """Executes one plan until it is complete or `stop` is called.

    Args:
        plan: the plan.
        done: its stored work by question id.
        generator: generates attempts and corrections, and reflections if there is no `reflector`.
        verify: verifies a reply to a question.
        writer: stores finished work.
        watcher: is notified of progress and live texts.
        concurrency: number of generations in flight.
        retries: number of times a failed generation is repeated.
        reflector: generates reflections, if another policy reflects.
    """

    def __init__(
        self,
        plan: RolloutPlan,
        done: Mapping[int, Done],
        generator: Generator,
        verify: Verify,
        writer: Writer,
        watcher: Watcher,
        *,
        concurrency: int,
        retries: int,
        reflector: Generator | None = None,
    ) -> None:
        self._plan = plan
        self._done = done
        self._steps = Steps(plan, generator, reflector or generator, verify, watcher, retries)
        self._writer = writer
        self._watcher = watcher
        self._concurrency = concurrency
        self._queue = WorkQueue(concurrency)
        self._stopping = False

    def stop(self) -> None:
        """Start no further generations; those in flight finish and are stored."""
        self._stopping = True

    def queued(self) -> int:
        """Return the number of queued generations."""
        return self._queue.qsize()

    async def run(self) -> bool:
        """Do all outstanding work; return True if it was completed, False if it was stopped.

        Raises:
            Exception: any error that is not the failure of a single sample, e.g. the crash of a generator.
        """
        for question in self._plan.questions:
            self._enqueue(question)
        workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        finished = asyncio.create_task(self._queue.join())
        try:
            await asyncio.wait([finished, *workers], return_when=asyncio.FIRST_COMPLETED)
            for worker in workers:
                if worker.done():
                    worker.result()
        finally:
            for task in (finished, *workers):
                task.cancel()
            await asyncio.gather(finished, *workers, return_exceptions=True)
        return not self._stopping

    async def _work(self) -> None:
        while True:
            owed = await self._queue.get()
            if not self._stopping:
                await owed.item()
            self._queue.task_done()

    def _add(self, kind: WorkKind, item: WorkItem, round: int = 1) -> None:
        self._queue.add(kind, round, item)

    def _may(self, kind: WorkKind) -> bool:
        return STAGE_OF[kind] in self._plan.stages

    def _enqueue(self, question: StoredQuestion) -> None:
        """Enqueue the outstanding work of one question."""
        done = self._done.get(question.id) or Done()
        if self._may("vote"):
            for sample in range(1, self._plan.baselines.votes + 1):
                if sample not in done.votes:
                    self._add("vote", partial(self._vote, question, sample))
        first = done.attempt
        if first is None:
            if self._may("attempt"):
                self._add("attempt", partial(self._attempt, question))
        elif first.error is None:
            self._follow(question, self._steps.reflected(question, first.id, first), done)

    def _follow(self, question: StoredQuestion, attempt: Reflected, done: Done) -> None:
        """Enqueue the work that the verdict of attempt 1 requires and that is not stored yet."""
        plan = self._plan
        if not plan.needs_reflection(attempt.verdict):
            return
        for key in plan.draws[question.id]:
            self._walk(question, attempt, Chain(key), done)
        if attempt.verdict == "incorrect" and self._may("retry"):
            for sample in range(plan.baselines.retries):
                if sample not in done.retries:
                    self._add("retry", partial(self._retry, question, attempt, sample))

    def _walk(self, question: StoredQuestion, attempt: Reflected, chain: Chain, done: Done) -> None:
        """Follow a chain from an attempt as far as it is stored, and enqueue its next generation step."""
        while True:
            kind: WorkKind = "reflect" if chain.round == 1 else "again"
            reflection = done.reflection(attempt.id, self._plan.key_at(question.id, chain), chain.round)
            if reflection is None:
                if self._may(kind):
                    self._add(kind, partial(self._reflect, question, attempt, chain), chain.round)
                return
            correction = done.corrections.get(reflection.id)
            if reflection.error is not None:
                return
            self._resample(question, attempt, reflection.id, reflection.text, chain, done)
            if correction is None:
                if self._may("correct"):
                    item = partial(self._correct, question, attempt, reflection.id, reflection.text, chain)
                    self._add("correct", item, chain.round)
                return
            if not self._plan.continues(chain, correction.verdict, correction.error):
                return
            attempt = self._steps.reflected(question, correction.id, correction)
            chain = chain.next()

    def _resample(
        self, question: StoredQuestion, attempt: Reflected, reflection_id: int, text: str, chain: Chain, done: Done
    ) -> None:
        """Enqueue the further corrections with one reflection that are not stored yet."""
        samples = self._plan.resamples(attempt.verdict, chain.round)
        if not samples or not self._may("resample"):
            return
        for sample in samples:
            if (reflection_id, sample) not in done.resampled:
                item = partial(self._corrected_again, question, attempt, reflection_id, text, chain, sample)
                self._add("resample", item)

    async def _attempt(self, question: StoredQuestion) -> None:
        plan = self._plan
        new = await self._steps.first_answer(question)
        reflected = new.generation.error is None and plan.needs_reflection(new.verdict)
        attempt_id = await self._writer.attempt(new, ends_trajectory=None if reflected else (None, None))
        if reflected:
            keys = len(plan.draws[question.id])
            self._watcher.add_total("reflect", keys)
            self._watcher.add_total("correct", keys)
            self._watcher.add_total("resample", keys * len(plan.resamples(new.verdict, 1)))
            if new.verdict == "incorrect":
                self._watcher.add_total("retry", plan.baselines.retries)
        self._watcher.completed("attempt", new.verdict, reused=new.generation.reused_from is not None)
        if reflected:
            self._follow(question, self._steps.reflected(question, attempt_id, new), Done())

    async def _vote(self, question: StoredQuestion, sample: int) -> None:
        new = await self._steps.first_answer(question, sample)
        await self._writer.attempt(new, ends_trajectory=None)
        self._watcher.completed("vote", new.verdict, reused=new.generation.reused_from is not None)

    async def _reflect(self, question: StoredQuestion, attempt: Reflected, chain: Chain) -> None:
        new, correction = await self._steps.reflection(question, attempt, chain)
        failed = new.generation.error is not None
        correction_id = None
        if correction is None:
            reflection_id = await self._writer.reflection(new, ends_trajectory=failed)
        else:
            reflection_id, correction_id = await self._writer.one_reply(new, correction)
        kind: WorkKind = "reflect" if chain.round == 1 else "again"
        self._watcher.completed(kind, reused=new.generation.reused_from is not None)
        if failed:
            self._watcher.add_total("correct", -1)
            self._watcher.add_total("resample", -len(self._plan.resamples(attempt.verdict, chain.round)))
            return
        text = new.generation.text
        self._resample(question, attempt, reflection_id, text, chain, Done())
        if correction is not None and correction_id is not None:
            self._corrected(question, correction_id, correction, chain)
        elif self._may("correct"):
            self._add("correct", partial(self._correct, question, attempt, reflection_id, text, chain), chain.round)

    async def _correct(
        self, question: StoredQuestion, attempt: Reflected, reflection_id: int, reflection: str, chain: Chain
    ) -> None:
        new = await self._steps.correction(question, attempt, reflection_id, reflection, chain)
        correction_id = await self._writer.attempt(new, ends_trajectory=(attempt.id, reflection_id))
        self._corrected(question, correction_id, new, chain)

    def _corrected(self, question: StoredQuestion, correction_id: int, new: NewAttempt, chain: Chain) -> None:
        """Record a stored correction, and enqueue the next round of its chain."""
        continues = self._plan.continues(chain, new.verdict, new.generation.error)
        if continues:
            self._watcher.add_total("again", 1)
            self._watcher.add_total("correct", 1)
        self._watcher.completed("correct", new.verdict, reused=new.generation.reused_from is not None)
        if continues:
            self._walk(question, self._steps.reflected(question, correction_id, new), chain.next(), Done())

    async def _corrected_again(
        self,
        question: StoredQuestion,
        attempt: Reflected,
        reflection_id: int,
        reflection: str,
        chain: Chain,
        sample: int,
    ) -> None:
        new = await self._steps.correction(question, attempt, reflection_id, reflection, chain, sample)
        await self._writer.attempt(new, ends_trajectory=None)
        self._watcher.completed("resample", new.verdict, reused=new.generation.reused_from is not None)

    async def _retry(self, question: StoredQuestion, attempt: Reflected, sample: int) -> None:
        new = await self._steps.retry(question, attempt, sample)
        await self._writer.attempt(new, ends_trajectory=None)
        self._watcher.completed("retry", new.verdict, reused=new.generation.reused_from is not None)
