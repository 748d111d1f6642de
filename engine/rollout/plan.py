"""Rollout plans: one policy on a set of questions, with attempts, reflections and corrections.

Training rollouts and evaluations are both plans; they differ in the questions, the decoding parameters and the attempts
that are reflected on. This module defines a plan and its stored work as values, without a database, a model or an event
loop.

With several rounds, an incorrect correction is reflected on once more and corrected in the next turn (Reflexion). A
*chain* is the sequence that follows from one drawn reflection key; round 1 starts from attempt 1, and each later round
only from the newest attempt of the chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.prompts import instructions
from engine.prompts.instructions import BUILT_IN, Pool
from engine.prompts.rollout import Problem
from engine.rollout.reuse import Reusable
from store.records import StageName, StoredAttempt, StoredQuestion, StoredReflection, Verdict
from store.settings import CorrectionSection, Decoding, RunSettings

ReflectionKey = tuple[str, int]
"""Instruction key and sample."""

WorkKind = Literal["attempt", "reflect", "correct", "again", "resample", "retry", "vote"]

STAGE_OF: Mapping[WorkKind, StageName] = {
    "attempt": "attempt",
    "reflect": "reflect",
    "correct": "correct",
    "again": "correct",
    "resample": "correct",
    "retry": "correct",
    "vote": "attempt",
}
"""Every kind of work and the stage it belongs to. `again` are the reflections of rounds after the first; `resample` are
the corrections with one reflection after the first; `retry` are second attempts without a reflection, and `vote` are
sampled first attempts: the baselines of an evaluation, or the further samples of a training rollout."""


@dataclass(frozen=True, slots=True)
class Baselines:
    """Texts without reflection beside those with it: `retries` second attempts at each question with an incorrect
    answer, and `votes` sampled first answers of every question.

    In an evaluation they are baselines; in training they are `correction.samples`, which the lift of a reflection is
    computed from, and `attempt.samples`.
    """

    retries: int = 0
    retry: Decoding = field(default_factory=Decoding)
    votes: int = 0
    vote: Decoding = field(default_factory=Decoding)


@dataclass(frozen=True, slots=True)
class Chain:
    """A drawn reflection key and the current round (from 1) of its chain."""

    key: ReflectionKey
    round: int = 1

    def next(self) -> Chain:
        """Return the same chain at the next round."""
        return Chain(self.key, self.round + 1)


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """The plan of a rollout.

    `protocol` is empty for training rollouts. `stages` are the stages that this plan executes. `policy_id` answers and
    `reflector_id` reflects; they are equal if one policy has both roles. `problems` and `draws` are keyed by question
    id.
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
    """The instructions to which the keys of `draws` refer."""
    one_generation: bool = False
    """Whether the policy reflects and corrects in one reply to one prompt, as it was trained to."""
    detailed_kinds: Mapping[str, str] = field(default_factory=dict)
    """Kind of task by task name if prompts contain the verifier's detail on a wrong attempt; empty if they don't."""

    @property
    def told_wrong(self) -> bool:
        """Whether prompts state that an attempt is wrong; otherwise they are the same after right and wrong ones."""
        return not self.reflect_on_all

    @property
    def one_reply(self) -> Decoding:
        """The decoding of a reflection and its correction in one reply: that of reflections, with room for both."""
        room = self.reflection.max_tokens + self.correction.max_tokens
        return self.reflection.of_decoding().model_copy(update={"max_tokens": room})

    def resamples(self, verdict: Verdict, round: int) -> range:
        """Return the samples of corrections after the first with a reflection on an attempt with this verdict."""
        return range(1, self.correction.samples if verdict == "incorrect" and round == 1 else 1)

    def needs_reflection(self, verdict: Verdict) -> bool:
        """Check whether an attempt with this verdict is reflected on; an `unverified` one never is."""
        return verdict == "incorrect" or (self.reflect_on_all and verdict == "correct")

    def continues(self, chain: Chain, verdict: Verdict, error: str | None) -> bool:
        """Check whether a correction with this verdict, in this round of its chain, is reflected on again."""
        return chain.round < self.rounds and error is None and self.needs_reflection(verdict)

    def key_at(self, question_id: int, chain: Chain) -> ReflectionKey:
        """Return the key of a chain's reflection: its own in round 1, the question's first drawn key afterwards."""
        return chain.key if chain.round == 1 else self.draws[question_id][0]

    def seed_of(self, question_id: int, stage: WorkKind, key: ReflectionKey = ("", 0), round: int = 1) -> int:
        """Return the seed of one generation, which depends on its position in the plan and not on when it runs."""
        place = f"{question_id}|{stage}|{key[0]}|{key[1]}|{round}"
        identity = f"{self.seed}|{self.iteration_number}|{self.protocol}|{place}"
        # 31 bits: the largest range that every backend accepts unchanged.
        return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") >> 1


@dataclass(slots=True)
class Done:
    """The stored work of one question."""

    attempt: StoredAttempt | None = None
    reflections: dict[ReflectionKey, StoredReflection] = field(default_factory=dict)
    """The reflections on attempt 1."""
    later: dict[tuple[int, ReflectionKey], StoredReflection] = field(default_factory=dict)
    """The reflections of rounds after the first, by the id of the correction they refer to."""
    corrections: dict[int, StoredAttempt] = field(default_factory=dict)
    """Reflection id → its correction."""
    resampled: dict[tuple[int, int], StoredAttempt] = field(default_factory=dict)
    """Reflection id and sample (from 1) → a further correction with it."""
    retries: dict[int, StoredAttempt] = field(default_factory=dict)
    """Sample → second attempt without a reflection."""
    votes: dict[int, StoredAttempt] = field(default_factory=dict)
    """Sample (from 1) → sampled first answer."""

    def reflection(self, attempt_id: int, key: ReflectionKey, round: int) -> StoredReflection | None:
        """Return the reflection on an attempt, if it is stored."""
        return self.reflections.get(key) if round == 1 else self.later.get((attempt_id, key))


def gather_done(attempts: Iterable[StoredAttempt], reflections: Iterable[StoredReflection]) -> dict[int, Done]:
    """Group the stored rows of a plan by question id."""
    done: dict[int, Done] = {}
    known: dict[int, StoredAttempt] = {}
    for attempt in attempts:
        entry = done.setdefault(attempt.question_id, Done())
        known[attempt.id] = attempt
        if attempt.reflection_id is not None and attempt.sample:
            entry.resampled[attempt.reflection_id, attempt.sample] = attempt
        elif attempt.reflection_id is not None:
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
    """Numbers of stored and known items by kind of work."""

    done: dict[WorkKind, int]
    total: dict[WorkKind, int]
    correct: dict[WorkKind, int]
    """Items with the verdict `correct`, of the kinds that have verdicts."""
    reused: dict[WorkKind, int] = field(default_factory=dict)
    """Items that were copied from earlier work."""

    @property
    def complete(self) -> bool:
        """Whether no work is outstanding."""
        return self.done == self.total

    def has_outstanding(self, stages: Iterable[StageName]) -> bool:
        """Check whether one of these stages has outstanding work."""
        allowed = set(stages)
        return any(self.done[kind] < self.total[kind] for kind, stage in STAGE_OF.items() if stage in allowed)


def no_counts() -> Counts:
    """Return counts of zero for every kind of work."""
    return Counts(*(dict.fromkeys(STAGE_OF, 0) for _ in range(4)))


def count(plan: RolloutPlan, done: Mapping[int, Done]) -> Counts:
    """Count the stored items, and the items that the stored verdicts require."""
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
    """Count the items of a chain from an attempt on, as far as it is stored."""
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
        samples = plan.resamples(attempt.verdict, chain.round)
        counts.total["resample"] += len(samples)
        if reflection is not None and samples:
            made = {sample: entry.resampled.get((reflection.id, sample)) for sample in samples}
            stored = {sample: one for sample, one in made.items() if one is not None}
            _count_answers(counts, "resample", stored, samples)
        correction = None if reflection is None else entry.corrections.get(reflection.id)
        if correction is None:
            return
        _count_answer(counts, "correct", correction)
        if not plan.continues(chain, correction.verdict, correction.error):
            return
        attempt, chain = correction, chain.next()


def draw_plan(
    questions: Sequence[StoredQuestion],
    settings: RunSettings,
    iteration_number: int,
    yields: Mapping[tuple[str, str], tuple[int, int]],
    pool: Pool = BUILT_IN,
) -> dict[int, tuple[ReflectionKey, ...]]:
    """Draw the reflection keys of each question, for the case that its attempt is incorrect.

    The result depends only on the arguments, so that a resumed iteration has the same outstanding work. The `balanced`
    strategy takes the draws of the preceding questions into account.

    Args:
        questions: the questions in order.
        settings: the settings of the iteration.
        iteration_number: the number that enters the seed of the draws.
        yields: the outcomes of instructions in earlier iterations, by task name and instruction key.
        pool: the instructions to draw from.

    Returns:
        The keys by question id.
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
