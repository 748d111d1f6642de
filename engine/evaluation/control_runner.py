"""Generates the texts of the controls, several at a time: one prompt, one reply, one verdict each.

Independent of databases and devices: it needs generators, a verify function and a function that stores a row. A failed
generation is repeated, then stored as a row with its error; any other error ends the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

from engine.errors import GenerationFailed
from engine.evaluation.answer_outcomes import answer_group
from engine.evaluation.control_plan import ControlItem, ControlPlan
from engine.generation.base import Generated, GenerationRequest, Generator
from engine.prompts.control_prompts import read_judgement
from engine.prompts.one_stage_reply import split_one_stage
from engine.prompts.rollout import PROMPT_VERSION, prompt_hash
from engine.rollout.generation_steps import Verify, Watcher
from engine.tasks.base import Verification
from store.rollouts.control_texts import NewControl

Store = Callable[[NewControl], Awaitable[int]]
"""Stores a row and returns its id once it is committed."""


@dataclass(frozen=True, slots=True)
class Generators:
    """The generators of one policy: the one that answers and the one that reflects, which may be the same."""

    answers: Generator
    reflects: Generator


class ControlRunner:
    """Generates texts of a plan until all given ones are stored or `stop` is called.

    Args:
        plan: the plan, for the content keys and the kinds of tasks.
        iteration_id: the iteration or evaluation that the rows are stored with.
        generators: of the policy that the items name as `served_id`.
        verify: verifies a reply to a question.
        store: stores a row.
        watcher: is notified of progress and live texts.
        concurrency: number of generations in flight.
        retries: number of times a failed generation is repeated.
    """

    def __init__(
        self,
        plan: ControlPlan,
        iteration_id: int,
        generators: Generators,
        verify: Verify,
        store: Store,
        watcher: Watcher,
        *,
        concurrency: int,
        retries: int,
    ) -> None:
        self._plan = plan
        self._iteration_id = iteration_id
        self._generators = generators
        self._verify = verify
        self._store = store
        self._watcher = watcher
        self._concurrency = concurrency
        self._retries = retries
        self._stopping = False
        self._left = 0

    def stop(self) -> None:
        """Start no further generations; those in flight finish and are stored."""
        self._stopping = True

    def queued(self) -> int:
        """Return the number of texts that are waiting to be generated."""
        return self._left

    async def run(self, items: Iterable[ControlItem]) -> bool:
        """Generate and store the items; return True if all are stored, False if it was stopped.

        Raises:
            Exception: any error that is not the failure of a single text, e.g. the crash of a generator.
        """
        # Texts on one question share the start of their prompts, so they are generated together.
        ordered = sorted(items, key=lambda item: (item.wrong.question.id, item.key))
        self._left = len(ordered)
        waiting = iter(ordered)

        async def work() -> None:
            for item in waiting:
                if self._stopping:
                    return
                self._left -= 1
                await self._one(item)

        workers = [asyncio.create_task(work()) for _ in range(min(self._concurrency, len(ordered)))]
        if not workers:
            return not self._stopping
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in workers:
                if worker.done():
                    worker.result()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return not self._stopping

    async def _one(self, item: ControlItem) -> None:
        reused = item.reuse
        if reused is not None:
            reply = Generated(
                reused.reasoning,
                reused.prompt_tokens,
                0,
                reused.completion_tokens,
                reused.finish_reason,
                reused.latency,
                reused.seed,
            )
            detail, score = reused.detail, reused.score
            verdict, answer, error = reused.verdict, reused.answer, None
        else:
            reply, error = await self._generate(item)
            answer, verdict, detail, score = None, None, "", None
            if item.divided:
                reply = replace(reply, text=split_one_stage(reply.text).reflection)
            if item.verified:
                found = await self._judged(item, reply, error)
                answer, verdict, score = found.answer, found.verdict, found.score
                detail = ": ".join(part for part in (found.rule, found.detail) if part)
            elif item.key[0] == "judgement":
                answer = read_judgement(reply.text)
        arm, question_id, sample = item.key
        shown = item.shown
        kind = self._plan.kinds.get(item.wrong.question.task, "")
        await self._store(
            NewControl(
                iteration_id=self._iteration_id,
                policy_id=self._plan.plan.policy_id,
                author_id=item.author_id,
                protocol=self._plan.plan.protocol,
                first_answers="own" if arm == "judgement" else self._plan.first_answers,
                arm=arm,
                sample=sample,
                question_id=question_id,
                attempt_id=item.wrong.attempt.id,
                reflection_id=None if shown is None else shown.reflection_id,
                shown_id=None if shown is None else shown.control_id,
                shown=item.literal,
                text=reply.text,
                answer=answer,
                answer_group=answer_group(kind, answer) if item.verified else answer,
                verdict=verdict,
                detail=detail,
                score=score,
                prompt_tokens=reply.prompt_tokens,
                cached_tokens=reply.cached_tokens,
                completion_tokens=reply.completion_tokens,
                finish_reason=reply.finish_reason,
                seed=reply.seed,
                prompt_version=PROMPT_VERSION if reused is None else reused.prompt_version,
                prompt_hash=prompt_hash(item.messages),
                latency=reply.seconds,
                reused_from=None if reused is None else reused.id,
                error=error,
            )
        )
        self._watcher.completed("correct", verdict, reused=reused is not None)

    async def _judged(self, item: ControlItem, reply: Generated, error: str | None) -> Verification:
        if error is not None:
            return Verification("unverified", None, "", None, error)
        return await self._verify(item.wrong.question, reply.text, reply.finish_reason)

    async def _generate(self, item: ControlItem) -> tuple[Generated, str | None]:
        """Generate one reply with a bounded number of retries; a permanent failure is returned, not raised."""
        decoding = item.decoding
        request = GenerationRequest.decoded(item.messages, decoding, item.seed)
        generator = self._generators.reflects if item.reflects else self._generators.answers
        problem = ""
        for _ in range(self._retries + 1):
            show = self._watcher.started("reflect" if item.reflects else "correct", item.wrong.question, item.key[0])
            try:
                generated = await generator.generate(request, show)
            except GenerationFailed as error:
                self._watcher.finished("correct", None, show)
                problem = str(error)
                continue
            except BaseException:
                self._watcher.finished("correct", None, show)
                raise
            self._watcher.finished("correct", generated, show)
            return generated, None
        return Generated("", 0, 0, 0, "error", 0.0, item.seed), problem
