"""A plan: one policy taken over a set of questions, through attempt, reflection and correction.

Training rollouts and evaluations are both plans; they differ in the questions, the decoding and in which
answers are reflected on. This module holds the plan of a plan and what of it is already stored, as values:
no database, no model, no event loop.

With several rounds a failed correction is reflected on again, once, and corrected at the next turn (Reflexion).
A *chain* is what follows from one drawn reflection key; its round 1 starts from attempt 1, each later round from
the newest attempt of that chain and from nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.prompts import instructions
from engine.prompts.instructions import BUILT_IN, Pool
from engine.prompts.rollout import (
    Message,
    Problem,
    attempt_messages,
    correction_messages,
    reflection_messages,
    retry_messages,
)
from engine.rollout.reuse import Reusable
from store.records import StageName, StoredAttempt, StoredQuestion, StoredReflection, Verdict
from store.settings import CorrectionSection, Decoding, RunSettings

ReflectionKey = tuple[str, int]
"""Instruction key and sample."""

WorkKind = Literal["attempt", "reflect", "correct", "again", "retry", "vote"]

STAGE_OF: Mapping[WorkKind, StageName] = {
    "attempt": "attempt",
    "reflect": "reflect",
    "correct": "correct",
    "again": "correct",
    "retry": "correct",
    "vote": "attempt",
}
"""Every kind of work and the stage it belongs to. `again`: the reflections of rounds after the first, which a
correction asks for; `retry` and `vote`: the baselines."""


@dataclass(frozen=True, slots=True)
class Baselines:
    """Answers without a reflection that stand beside the corrections: `retries` second tries of each wrong answer,
    and `votes` sampled first answers of every question."""

    retries: int = 0
    retry: Decoding = field(default_factory=Decoding)
    votes: int = 0
    vote: Decoding = field(default_factory=Decoding)


@dataclass(frozen=True, slots=True)
class Chain:
    """A drawn reflection key and the round (from 1) its chain has come to."""

    key: ReflectionKey
    round: int = 1

    def next(self) -> Chain:
        """The same chain, one round on."""
        return Chain(self.key, self.round + 1)


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """The plan. `protocol` is empty for training rollouts. `stages` are the stages this plan may do.

    `policy_id` answers, `reflector_id` reflects; they are the same where one policy plays both roles.
    """

    iteration_id: int | None
    iteration_number: int
    policy_id: int
    reflector_id: int
    protocol: str
    questions: tuple[StoredQuestion, ...]
    problems: Mapping[int, Problem]
    draws: Mapping[int, tuple[ReflectionKey, ...]]
    attempt: Decoding
    reflection: Decoding
    correction: CorrectionSection
    reflect_on_all: bool
    stages: frozenset[StageName]
    seed: int
    rounds: int = 1
    baselines: Baselines = field(default_factory=Baselines)
    reusable: Reusable = field(default_factory=Reusable)
    pool: Pool = BUILT_IN
    """The instructions that the keys of `draws` stand for."""

    def needs_reflection(self, verdict: Verdict) -> bool:
        """Whether an attempt with this verdict is reflected on. What nobody could judge is left alone."""
        return verdict == "incorrect" or (self.reflect_on_all and verdict == "correct")

    def goes_on(self, chain: Chain, verdict: Verdict, error: str | None) -> bool:
        """Whether a correction with this verdict, made in this round of its chain, is reflected on again."""
        return chain.round < self.rounds and error is None and self.needs_reflection(verdict)

    def key_at(self, question_id: int, chain: Chain) -> ReflectionKey:
        """The key of a chain's reflection: its own in round 1, the question's first drawn key afterwards."""
        return chain.key if chain.round == 1 else self.draws[question_id][0]

    def seed_of(self, question_id: int, stage: WorkKind, key: ReflectionKey = ("", 0), round: int = 1) -> int:
        """Seed of one generation: depends on its place in the work, not on when it runs."""
        place = f"{question_id}|{stage}|{key[0]}|{key[1]}|{round}"
        identity = f"{self.seed}|{self.iteration_number}|{self.protocol}|{place}"
        # 31 bits: the largest range every backend takes as it is.
        return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") >> 1


@dataclass(slots=True)
class Done:
    """What is stored of one question."""

    attempt: StoredAttempt | None = None
    reflections: dict[ReflectionKey, StoredReflection] = field(default_factory=dict)
    """The reflections on attempt 1."""
    later: dict[tuple[int, ReflectionKey], StoredReflection] = field(default_factory=dict)
    """The reflections of rounds after the first, by the id of the correction they are on."""
    corrections: dict[int, StoredAttempt] = field(default_factory=dict)
    """Reflection id → its correction."""
    retries: dict[int, StoredAttempt] = field(default_factory=dict)
    """Sample → second try without a reflection."""
    votes: dict[int, StoredAttempt] = field(default_factory=dict)
    """Sample (from 1) → sampled first answer."""

    def reflection(self, attempt_id: int, key: ReflectionKey, round: int) -> StoredReflection | None:
        """The reflection on an attempt, if it is stored."""
        return self.reflections.get(key) if round == 1 else self.later.get((attempt_id, key))


def gather_done(attempts: Iterable[StoredAttempt], reflections: Iterable[StoredReflection]) -> dict[int, Done]:
    """Sort stored rows of a plan by question."""
    done: dict[int, Done] = {}
    known: dict[int, StoredAttempt] = {}
    for attempt in attempts:
        entry = done.setdefault(attempt.question_id, Done())
        known[attempt.id] = attempt
        if attempt.reflection_id is not None:
            entry.corrections[attempt.reflection_id] = attempt
        elif attempt.turn > 1:
            entry.retries[attempt.sample] = attempt
        elif attempt.sample:
            entry.votes[attempt.sample] = attempt
        else:
            entry.attempt = attempt
    for reflection in reflections:
        on = known.get(reflection.attempt_id)
        if on is None:
            continue
        key = (reflection.instruction, reflection.sample)
        if on.turn == 1:
            done[on.question_id].reflections[key] = reflection
        else:
            done[on.question_id].later[on.id, key] = reflection
    return done


@dataclass(frozen=True, slots=True)
class Counts:
    """Items done and known of each kind of work of a plan."""

    done: dict[WorkKind, int]
    total: dict[WorkKind, int]
    correct: dict[WorkKind, int]
    """Items with the verdict `correct`, of the kinds that have verdicts."""
    reused: dict[WorkKind, int] = field(default_factory=dict)
    """Items that were taken over from earlier work."""

    @property
    def complete(self) -> bool:
        """True when nothing is owed."""
        return self.done == self.total

    def owes(self, stages: Iterable[StageName]) -> bool:
        """True when one of these stages has work left."""
        allowed = set(stages)
        return any(self.done[kind] < self.total[kind] for kind, stage in STAGE_OF.items() if stage in allowed)


def no_counts() -> Counts:
    """Nothing done and nothing known."""
    return Counts(*(dict.fromkeys(STAGE_OF, 0) for _ in range(4)))


def count(plan: RolloutPlan, done: Mapping[int, Done]) -> Counts:
    """Count what is stored against what the stored verdicts ask for."""
    counts = no_counts()
    counts.total["attempt"] = len(plan.questions)
    counts.total["vote"] = plan.baselines.votes * len(plan.questions)
    for question in plan.questions:
        entry = done.get(question.id)
        if entry is None:
            continue
        _count_answers(counts, "vote", entry.votes, range(1, plan.baselines.votes + 1))
        attempt = entry.attempt
        if attempt is None:
            continue
        _count_answer(counts, "attempt", attempt)
        if attempt.error is not None or not plan.needs_reflection(attempt.verdict):
            continue
        for key in plan.draws[question.id]:
            _count_chain(counts, plan, entry, attempt, Chain(key))
        if attempt.verdict == "incorrect":
            counts.total["retry"] += plan.baselines.retries
            _count_answers(counts, "retry", entry.retries, range(plan.baselines.retries))
    return counts


def _count_answer(counts: Counts, kind: WorkKind, answer: StoredAttempt) -> None:
    counts.done[kind] += 1
    counts.correct[kind] += answer.verdict == "correct"
    counts.reused[kind] += answer.reused_from is not None


def _count_answers(counts: Counts, kind: WorkKind, stored: Mapping[int, StoredAttempt], samples: Iterable[int]) -> None:
    for sample in samples:
        if sample in stored:
            _count_answer(counts, kind, stored[sample])


def _count_chain(counts: Counts, plan: RolloutPlan, entry: Done, attempt: StoredAttempt, chain: Chain) -> None:
    """Walk a chain from an attempt as far as it is stored."""
    while True:
        kind: WorkKind = "reflect" if chain.round == 1 else "again"
        counts.total[kind] += 1
        reflection = entry.reflection(attempt.id, plan.key_at(attempt.question_id, chain), chain.round)
        if reflection is not None:
            counts.done[kind] += 1
            counts.reused[kind] += reflection.reused_from is not None
            if reflection.error is not None:
                return
        counts.total["correct"] += 1
        correction = None if reflection is None else entry.corrections.get(reflection.id)
        if correction is None:
            return
        _count_answer(counts, "correct", correction)
        if not plan.goes_on(chain, correction.verdict, correction.error):
            return
        attempt, chain = correction, chain.next()


def draw_plan(
    questions: Sequence[StoredQuestion],
    settings: RunSettings,
    iteration_number: int,
    yields: Mapping[tuple[str, str], tuple[int, int]],
    pool: Pool = BUILT_IN,
) -> dict[int, tuple[ReflectionKey, ...]]:
    """Which instructions and samples each question gets, should its attempt be wrong.

    Depends only on the questions, the settings and the yields of earlier iterations, so that a resumed
    iteration owes the same work. `balanced` counts the draws of the questions before.
    """
    usage: dict[str, dict[str, int]] = {}
    plan: dict[int, tuple[ReflectionKey, ...]] = {}
    for question in questions:
        used = usage.setdefault(question.task, {})
        keys = instructions.draw(
            settings.reflection.instructions,
            question_hash=question.content_hash,
            seed=settings.seed,
            iteration=iteration_number,
            usage=used,
            yields={key: outcome for (task, key), outcome in yields.items() if task == question.task},
            pool=pool,
        )
        for key in keys:
            used[key] = used.get(key, 0) + 1
        plan[question.id] = tuple((key, sample) for key in keys for sample in range(settings.reflection.samples))
    return plan


def attempt_prompt(plan: RolloutPlan, question_id: int) -> list[Message]:
    """Messages of attempt 1."""
    return attempt_messages(plan.problems[question_id])


def reflection_prompt(plan: RolloutPlan, question_id: int, attempt_text: str, instruction: str) -> list[Message]:
    """Messages of a reflection on one attempt: attempt 1, or in later rounds the newest of its chain."""
    return reflection_messages(
        plan.problems[question_id],
        attempt_text,
        instructions.compose(instruction, plan.pool),
        told_wrong=not plan.reflect_on_all,
    )


def correction_prompt(plan: RolloutPlan, question_id: int, attempt_text: str, reflection_text: str) -> list[Message]:
    """Messages of a correction from one attempt and the one reflection on it."""
    return correction_messages(
        plan.problems[question_id],
        attempt_text,
        reflection_text,
        show_previous_attempt=plan.correction.show_previous_attempt,
        told_wrong=not plan.reflect_on_all,
    )


def retry_prompt(plan: RolloutPlan, question_id: int, attempt_text: str) -> list[Message]:
    """Messages of a second try without a reflection."""
    return retry_messages(
        plan.problems[question_id],
        attempt_text,
        show_previous_attempt=plan.correction.show_previous_attempt,
        told_wrong=not plan.reflect_on_all,
    )
