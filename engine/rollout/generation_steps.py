"""The generation steps of a rollout: render the prompt, generate the reply, verify it, and build the row.

A prompt is rendered from stored texts only; no reference answer is accessible at that point. A text that earlier work
has already generated for the same prompt is reused. Independent of the order of the steps, queues, databases and
devices.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from engine.errors import GenerationFailed
from engine.generation.base import Generated, GenerationRequest, Generator
from engine.prompts.one_stage_reply import no_second_try, split_one_stage
from engine.prompts.rollout import PROMPT_VERSION, Message, prompt_hash
from engine.rollout.plan import Chain, RolloutPlan, WorkKind
from engine.rollout.plan_prompts import (
    Judged,
    attempt_prompt,
    correction_prompt,
    feedback_on,
    reflection_prompt,
    retry_prompt,
)
from engine.rollout.reuse import Prompted
from engine.tasks.base import Verification
from store.records import StoredAttempt, StoredQuestion, StoredReflection, Verdict
from store.rollouts.attempts import NewAttempt, NewGeneration, NewReflection
from store.settings import Decoding

ENDLESS_THOUGHT = "the thought did not end within max_tokens"

Verify = Callable[[StoredQuestion, str, str], Awaitable[Verification]]
"""Verifies a reply to a question, given why its generation ended."""


class Watcher(Protocol):
    """Receives notifications of progress, for gauges and live texts."""

    def started(self, stage: WorkKind, question: StoredQuestion, instruction: str) -> Callable[[str], None] | None:
        """Record the start of a generation; return the callback for its live text, or None if it is not shown."""

    def finished(self, stage: WorkKind, generated: Generated | None, show: Callable[[str], None] | None) -> None:
        """Record the end of a generation; `generated` is None if it failed."""

    def add_total(self, stage: WorkKind, items: int) -> None:
        """Add newly known items of a kind of work to its total; negative if items are dropped."""

    def completed(self, stage: WorkKind, verdict: Verdict | None = None, *, reused: bool = False) -> None:
        """Record that an item of a kind of work is stored, with its verdict if any; `reused` if it was copied."""


@dataclass(frozen=True, slots=True)
class Reflected:
    """An attempt that is reflected on or repeated."""

    id: int
    text: str
    verdict: Verdict
    feedback: str = ""
    """What prompts on it say besides the verdict; see `engine.rollout.plan_prompts.feedback_on`."""


@dataclass(frozen=True, slots=True)
class _Reply:
    generated: Generated
    error: str | None


class Steps:
    """The generation steps of one plan; a failed generation is repeated up to `retries` times."""

    def __init__(
        self,
        plan: RolloutPlan,
        generator: Generator,
        reflector: Generator,
        verify: Verify,
        watcher: Watcher,
        retries: int,
    ) -> None:
        self._plan = plan
        self._generator = generator
        self._reflector = reflector
        self._verify = verify
        self._watcher = watcher
        self._retries = retries

    def reflected(self, question: StoredQuestion, attempt_id: int, attempt: Judged) -> Reflected:
        """Return an attempt as its later prompts need it."""
        text = attempt.reasoning if isinstance(attempt, StoredAttempt) else attempt.generation.text
        said = feedback_on(self._plan.detailed_kinds, question.task, attempt)
        return Reflected(attempt_id, text, attempt.verdict, said)

    async def first_answer(self, question: StoredQuestion, sample: int = 0) -> NewAttempt:
        """Generate an answer of turn 1: sample 0 is the attempt, higher samples are sampled beside it."""
        plan = self._plan
        messages = attempt_prompt(plan, question.id)
        stored = plan.reusable.attempt(question.id, sample, _prompted(plan.policy_id, messages))
        if stored is not None:
            return self._copied(stored, None)
        kind: WorkKind = "vote" if sample else "attempt"
        decoding = plan.baselines.vote if sample else plan.attempt
        seed = plan.seed_of(question.id, kind, ("", sample))
        reply = await self._generate(kind, question, "", messages, decoding, seed)
        return await self._verified(question, reply, messages, turn=1, sample=sample)

    async def reflection(
        self, question: StoredQuestion, attempt: Reflected, chain: Chain
    ) -> tuple[NewReflection, NewAttempt | None]:
        """Generate the reflection on one attempt in the current round of a chain.

        With `one_generation` the same reply contains the correction, which is returned too; its `reflection_id` is
        None until the reflection is stored. A reflection that failed has none, and one that is reused has the
        correction of the same reply if that is reused as well.
        """
        plan = self._plan
        instruction, sample = plan.key_at(question.id, chain)
        messages = reflection_prompt(plan, question.id, attempt.text, instruction, attempt.feedback)
        place = (question.id, *chain.key, chain.round)
        asked = _prompted(plan.reflector_id, messages)
        stored = plan.reusable.reflection(place, asked)
        if stored is not None:
            # The halves of one reply answer the same prompt.
            second = plan.reusable.correction((*place, 0), asked) if plan.one_generation else None
            copy = NewReflection(self._copy(stored, stored.text), attempt.id, instruction, stored.flags)
            return copy, None if second is None else self._copied(second, None)
        seed = plan.seed_of(question.id, "reflect", chain.key, chain.round)
        decoding = plan.one_reply if plan.one_generation else plan.reflection
        reply = await self._generate("reflect", question, instruction, messages, decoding, seed)
        if reply.error is None and reply.generated.thought and not reply.generated.text:
            # There is nothing to correct with: the row is kept as a failed one, with its thought.
            reply = replace(reply, error=ENDLESS_THOUGHT)
        made = self._generation(reply, messages, sample, plan.reflector_id)
        if not plan.one_generation or reply.error is not None:
            return NewReflection(made, attempt.id, instruction, flags=""), None
        return await self._divided(question, made, attempt, chain)

    async def _divided(
        self, question: StoredQuestion, made: NewGeneration, attempt: Reflected, chain: Chain
    ) -> tuple[NewReflection, NewAttempt]:
        """Divide a reply that contains a reflection and its correction, and verify the latter."""
        parts = split_one_stage(made.text)
        reflected, corrected = parts.tokens(made.completion_tokens)
        ended = made.finish_reason if parts.correction is None else "stop"
        cut = "stop" if parts.correction is None else made.finish_reason
        verification = await self._verify(question, parts.correction or "", cut)
        if parts.correction is None:
            limit = self._plan.one_reply.max_tokens
            verification = replace(verification, rule="", detail=no_second_try(made.finish_reason, limit))
        reflection = replace(made, text=parts.reflection, completion_tokens=reflected, finish_reason=ended)
        # The prompt was read once; its tokens belong to the reflection, so that sums over rows are right.
        halves: dict[str, Any] = {"text": parts.correction or "", "thought": "", "thought_tokens": 0}
        correction = replace(made, **halves, prompt_tokens=0, completion_tokens=corrected, sample=0)
        instruction, _ = self._plan.key_at(question.id, chain)
        return (
            NewReflection(reflection, attempt.id, instruction, flags=""),
            _attempt(correction, question, chain.round + 1, None, verification),
        )

    async def correction(
        self,
        question: StoredQuestion,
        attempt: Reflected,
        reflection_id: int,
        reflection: str,
        chain: Chain,
        sample: int = 0,
    ) -> NewAttempt:
        """Generate a correction after one reflection; sample 0 is the one that a trajectory contains."""
        plan = self._plan
        instruction, _ = plan.key_at(question.id, chain)
        messages = correction_prompt(plan, question.id, attempt.text, reflection, instruction, attempt.feedback)
        stored = plan.reusable.correction(
            (question.id, *chain.key, chain.round, sample), _prompted(plan.policy_id, messages)
        )
        if stored is not None:
            return self._copied(stored, reflection_id)
        kind: WorkKind = "resample" if sample else "correct"
        seed = plan.seed_of(question.id, kind, chain.key, sample or chain.round)
        reply = await self._generate(kind, question, chain.key[0], messages, plan.correction, seed)
        return await self._verified(
            question, reply, messages, turn=chain.round + 1, reflection_id=reflection_id, sample=sample
        )

    async def retry(self, question: StoredQuestion, attempt: Reflected, sample: int) -> NewAttempt:
        """Generate a second attempt without a reflection."""
        plan = self._plan
        messages = retry_prompt(plan, question.id, attempt.text, attempt.feedback)
        stored = plan.reusable.retry(question.id, sample, _prompted(plan.policy_id, messages))
        if stored is not None:
            return self._copied(stored, None)
        seed = plan.seed_of(question.id, "retry", ("", sample))
        reply = await self._generate("retry", question, "", messages, plan.baselines.retry, seed)
        return await self._verified(question, reply, messages, turn=2, sample=sample)

    async def _generate(
        self,
        stage: WorkKind,
        question: StoredQuestion,
        instruction: str,
        messages: Sequence[Message],
        decoding: Decoding,
        seed: int,
    ) -> _Reply:
        """Generate one reply with a bounded number of retries; a permanent failure is recorded as data, not raised."""
        request = GenerationRequest.decoded(messages, decoding, seed)
        generator = self._reflector if stage == "reflect" else self._generator
        problem = ""
        for _ in range(self._retries + 1):
            show = self._watcher.started(stage, question, instruction)
            try:
                generated = await generator.generate(request, show)
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

    def _generation(self, reply: _Reply, messages: Sequence[Message], sample: int, policy_id: int) -> NewGeneration:
        generated = reply.generated
        return NewGeneration(
            iteration_id=self._plan.iteration_id,
            policy_id=policy_id,
            protocol=self._plan.protocol,
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
            thought=generated.thought,
            thought_tokens=generated.thought_tokens,
        )

    def _copy(self, stored: StoredAttempt | StoredReflection, text: str) -> NewGeneration:
        """Copy a stored text into a row of this plan; its token counts give its length, not a further expense."""
        return NewGeneration(
            iteration_id=self._plan.iteration_id,
            policy_id=stored.policy_id,
            protocol=self._plan.protocol,
            sample=stored.sample,
            text=text,
            prompt_tokens=stored.prompt_tokens,
            completion_tokens=stored.completion_tokens,
            finish_reason=stored.finish_reason,
            seed=stored.seed,
            prompt_version=stored.prompt_version,
            prompt_hash=stored.prompt_hash,
            latency=stored.latency,
            error=None,
            reused_from=stored.id,
        )

    def _copied(self, stored: StoredAttempt, reflection_id: int | None) -> NewAttempt:
        """Copy a stored answer of any turn with its verdict."""
        return NewAttempt(
            generation=self._copy(stored, stored.reasoning),
            question_id=stored.question_id,
            turn=stored.turn,
            reflection_id=reflection_id,
            answer=stored.answer,
            verdict=stored.verdict,
            detail=stored.detail,
            score=stored.score,
        )

    async def _verified(
        self,
        question: StoredQuestion,
        reply: _Reply,
        messages: Sequence[Message],
        *,
        turn: int,
        reflection_id: int | None = None,
        sample: int = 0,
    ) -> NewAttempt:
        if reply.error is None and reply.generated.thought and not reply.generated.text:
            verification = Verification("unverified", None, "truncated", None, ENDLESS_THOUGHT)
        elif reply.error is None:
            verification = await self._verify(question, reply.generated.text, reply.generated.finish_reason)
        else:
            verification = Verification("unverified", None, "", None, reply.error)
        made = self._generation(reply, messages, sample, self._plan.policy_id)
        return _attempt(made, question, turn, reflection_id, verification)


def _prompted(policy_id: int, messages: Sequence[Message]) -> Prompted:
    return Prompted(policy_id, PROMPT_VERSION, prompt_hash(messages))


def _attempt(
    generation: NewGeneration,
    question: StoredQuestion,
    turn: int,
    reflection_id: int | None,
    verification: Verification,
) -> NewAttempt:
    return NewAttempt(
        generation=generation,
        question_id=question.id,
        turn=turn,
        reflection_id=reflection_id,
        answer=verification.answer,
        verdict=verification.verdict,
        detail=": ".join(part for part in (verification.rule, verification.detail) if part),
        score=verification.score,
    )
