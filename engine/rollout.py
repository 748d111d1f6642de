"""Owed work in, finished rows out: streams attempts, reflections and corrections through one generator.

There is no barrier between the stages: a wrong verdict puts its reflections into the queue at once, and each
reflection its correction. Later stages go first, so that trajectories finish early and their prompts find
their prefix still cached. This is the seam where a cluster would plug in: it sees a generator, a judge and a
journal, never a database or a device.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.errors import GenerationFailed
from engine.generation.base import Generated, GenerationRequest, Generator
from engine.prompts import PROMPT_VERSION, Message, prompt_hash
from engine.sweep import (
    Done,
    ReflectionKey,
    Sweep,
    attempt_prompt,
    correction_prompt,
    reflection_prompt,
    retry_prompt,
)
from engine.tasks.base import Judgement
from store.records import StoredQuestion
from store.rollouts import NewAttempt, NewGeneration, NewReflection
from store.settings import Decoding

Judge = Callable[[StoredQuestion, str], Awaitable[Judgement]]
"""Judges a reply to a question."""

_FIRST, _SECOND, _THIRD, _LAST = 0, 1, 2, 3


class Journal(Protocol):
    """Where finished work goes. Each call returns once the row is committed."""

    async def attempt(self, attempt: NewAttempt, *, ends_trajectory: tuple[int | None, int | None] | None) -> int:
        """Store an attempt and return its id. `ends_trajectory` names the attempt 1 (None: this one) and the
        reflection of the trajectory that it completes."""

    async def reflection(self, reflection: NewReflection, *, ends_trajectory: bool) -> int:
        """Store a reflection and return its id; one that failed ends its trajectory."""


class Watcher(Protocol):
    """Who is told about the flow, for gauges and live text."""

    def started(self, stage: str, question: StoredQuestion, instruction: str) -> Callable[[str], None] | None:
        """A generation starts; returns where to show its growing text, or None when nobody looks."""

    def finished(self, stage: str, generated: Generated | None, show: Callable[[str], None] | None) -> None:
        """A generation ended; `generated` is None when it failed."""

    def owes(self, stage: str, items: int) -> None:
        """More (or fewer) items of a stage became known."""

    def did(self, stage: str, verdict: str = "") -> None:
        """An item of a stage is stored, with its verdict where it has one."""


@dataclass(frozen=True, slots=True)
class _Reply:
    generated: Generated
    error: str | None


class Rollout:
    """Runs one sweep to its end, or until told to stop."""

    def __init__(
        self,
        sweep: Sweep,
        done: Mapping[int, Done],
        generator: Generator,
        judge: Judge,
        journal: Journal,
        watcher: Watcher,
        *,
        concurrency: int,
        retries: int,
    ) -> None:
        self._sweep = sweep
        self._done = done
        self._generator = generator
        self._judge = judge
        self._journal = journal
        self._watcher = watcher
        self._concurrency = concurrency
        self._retries = retries
        self._order = itertools.count()
        self._queue: asyncio.PriorityQueue[tuple[int, int, Callable[[], Awaitable[None]]]] = asyncio.PriorityQueue()
        self._stopping = False

    def stop(self) -> None:
        """Start nothing new; what is in flight finishes and is stored."""
        self._stopping = True

    def queued(self) -> int:
        """Generations that wait for a place."""
        return self._queue.qsize()

    async def run(self) -> bool:
        """Do all owed work; True when nothing is owed any more, False when stopped before.

        Raises:
            Exception: whatever is not a failure of one sample, e.g. a generator that died.
        """
        for question in self._sweep.questions:
            self._plan(question)
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
            _, _, job = await self._queue.get()
            if not self._stopping:
                await job()
            self._queue.task_done()

    def _add(self, priority: int, job: Callable[[], Awaitable[None]]) -> None:
        self._queue.put_nowait((priority, next(self._order), job))

    def _plan(self, question: StoredQuestion) -> None:
        """Queue what is owed of one question."""
        done = self._done.get(question.id) or Done()
        if done.attempt is None:
            if "attempt" in self._sweep.stages:
                self._add(_LAST, lambda: self._attempt(question))
            return
        if done.attempt.error is None:
            self._follow(question, done.attempt.id, done.attempt.reasoning, done.attempt.verdict, done)

    def _follow(self, question: StoredQuestion, attempt_id: int, text: str, verdict: str, done: Done) -> None:
        """Queue what an attempt's verdict asks for and isn't stored yet."""
        sweep = self._sweep
        if not sweep.needs_reflection(verdict):
            return
        for key in sweep.draws[question.id]:
            stored = done.reflections.get(key)
            if stored is None:
                if "reflect" in sweep.stages:
                    self._add(_SECOND, lambda key=key: self._reflect(question, attempt_id, text, key))  # type: ignore[misc]
            elif stored.error is None and stored.id not in done.corrected and "correct" in sweep.stages:
                self._add(
                    _FIRST,
                    lambda key=key, stored=stored: self._correct(
                        question, attempt_id, text, stored.id, stored.text, key
                    ),  # type: ignore[misc]
                )
        if sweep.retry and verdict == "incorrect" and done.retry is None and "correct" in sweep.stages:
            self._add(_THIRD, lambda: self._retry(question, attempt_id, text))

    async def _attempt(self, question: StoredQuestion) -> None:
        sweep = self._sweep
        messages = attempt_prompt(sweep, question.id)
        reply = await self._generate(
            "attempt", question, "", messages, sweep.attempt, sweep.seed_of(question.id, "attempt")
        )
        new = await self._judged(question, reply, messages, turn=1, reflection_id=None, sample=0)
        reflected = new.generation.error is None and sweep.needs_reflection(new.verdict)
        attempt_id = await self._journal.attempt(new, ends_trajectory=None if reflected else (None, None))
        if reflected:
            keys = len(sweep.draws[question.id])
            self._watcher.owes("reflect", keys)
            self._watcher.owes("correct", keys)
            if sweep.retry and new.verdict == "incorrect":
                self._watcher.owes("retry", 1)
        self._watcher.did("attempt", new.verdict)
        if reflected:
            self._follow(question, attempt_id, new.generation.text, new.verdict, Done())

    async def _reflect(self, question: StoredQuestion, attempt_id: int, text: str, key: ReflectionKey) -> None:
        sweep = self._sweep
        messages = reflection_prompt(sweep, question.id, text, key[0])
        seed = sweep.seed_of(question.id, "reflect", key)
        reply = await self._generate("reflect", question, key[0], messages, sweep.reflection, seed)
        new = NewReflection(self._generation(reply, messages, key[1]), attempt_id, key[0], flags="")
        failed = reply.error is not None
        reflection_id = await self._journal.reflection(new, ends_trajectory=failed)
        self._watcher.did("reflect")
        if failed:
            self._watcher.owes("correct", -1)
        elif "correct" in sweep.stages:
            reflection = reply.generated.text
            self._add(_FIRST, lambda: self._correct(question, attempt_id, text, reflection_id, reflection, key))

    async def _correct(
        self,
        question: StoredQuestion,
        attempt_id: int,
        text: str,
        reflection_id: int,
        reflection: str,
        key: ReflectionKey,
    ) -> None:
        sweep = self._sweep
        messages = correction_prompt(sweep, question.id, text, reflection)
        seed = sweep.seed_of(question.id, "correct", key)
        reply = await self._generate("correct", question, key[0], messages, sweep.correction, seed)
        new = await self._judged(question, reply, messages, turn=2, reflection_id=reflection_id, sample=0)
        await self._journal.attempt(new, ends_trajectory=(attempt_id, reflection_id))
        self._watcher.did("correct", new.verdict)

    async def _retry(self, question: StoredQuestion, attempt_id: int, text: str) -> None:
        sweep = self._sweep
        messages = retry_prompt(sweep, question.id, text)
        reply = await self._generate(
            "retry", question, "", messages, sweep.correction, sweep.seed_of(question.id, "retry")
        )
        new = await self._judged(question, reply, messages, turn=2, reflection_id=None, sample=0)
        await self._journal.attempt(new, ends_trajectory=None)
        self._watcher.did("retry", new.verdict)

    async def _generate(
        self,
        stage: str,
        question: StoredQuestion,
        instruction: str,
        messages: Sequence[Message],
        decoding: Decoding,
        seed: int,
    ) -> _Reply:
        """One generation, tried again a bounded number of times; a failure for good is data, not a crash."""
        request = GenerationRequest(tuple(messages), decoding.max_tokens, decoding.temperature, decoding.top_p, seed)
        problem = ""
        for _ in range(self._retries + 1):
            show = self._watcher.started(stage, question, instruction)
            try:
                generated = await self._generator.generate(request, show)
            except GenerationFailed as error:
                self._watcher.finished(stage, None, show)
                problem = str(error)
                continue
            except BaseException:
                self._watcher.finished(stage, None, show)
                raise
            self._watcher.finished(stage, generated, show)
            return _Reply(generated, None)
        return _Reply(Generated("", 0, 0, 0, "error", 0.0, seed), problem)

    def _generation(self, reply: _Reply, messages: Sequence[Message], sample: int) -> NewGeneration:
        generated = reply.generated
        return NewGeneration(
            iteration_id=self._sweep.iteration_id,
            policy_id=self._sweep.policy_id,
            protocol=self._sweep.protocol,
            sample=sample,
            text=generated.text,
            prompt_tokens=generated.prompt_tokens,
            completion_tokens=generated.completion_tokens,
            finish_reason=generated.finish_reason,
            seed=generated.seed,
            prompt_version=PROMPT_VERSION,
            prompt_hash=prompt_hash(messages),
            latency=generated.seconds,
            error=reply.error,
        )

    async def _judged(
        self,
        question: StoredQuestion,
        reply: _Reply,
        messages: Sequence[Message],
        *,
        turn: int,
        reflection_id: int | None,
        sample: int,
    ) -> NewAttempt:
        if reply.error is None:
            judgement = await self._judge(question, reply.generated.text)
        else:
            judgement = Judgement("unverified", None, "", None, reply.error)
        detail = ": ".join(part for part in (judgement.rule, judgement.detail) if part)
        return NewAttempt(
            generation=self._generation(reply, messages, sample),
            question_id=question.id,
            turn=turn,
            reflection_id=reflection_id,
            answer=judgement.answer,
            verdict=judgement.verdict,
            detail=detail,
            score=judgement.score,
        )
