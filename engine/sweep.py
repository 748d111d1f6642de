"""A sweep: one policy taken over a set of questions, through attempt, reflection and correction.

Training rollouts and evaluations are both sweeps; they differ in the questions, the decoding and in which
answers are reflected on. This module holds the plan of a sweep and what of it is already stored, as values:
no database, no model, no event loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine import instructions
from engine.instructions import BUILT_IN, Pool
from engine.prompts import Message, Problem, attempt_messages, correction_messages, reflection_messages, retry_messages
from store.records import StoredAttempt, StoredQuestion, StoredReflection, Verdict
from store.settings import CorrectionSection, Decoding, RunSettings

ReflectionKey = tuple[str, int]
"""Instruction key and sample."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """The plan. `protocol` is empty for training rollouts. `stages` are the stages this sweep may do."""

    iteration_id: int | None
    iteration_number: int
    policy_id: int
    protocol: str
    questions: tuple[StoredQuestion, ...]
    problems: Mapping[int, Problem]
    draws: Mapping[int, tuple[ReflectionKey, ...]]
    attempt: Decoding
    reflection: Decoding
    correction: CorrectionSection
    reflect_on_all: bool
    retry: bool
    stages: frozenset[str]
    seed: int
    pool: Pool = BUILT_IN
    """The instructions that the keys of `draws` stand for."""

    def needs_reflection(self, verdict: str) -> bool:
        """Whether an attempt with this verdict is reflected on. What nobody could judge is left alone."""
        return verdict == "incorrect" or (self.reflect_on_all and verdict == "correct")

    def seed_of(self, question_id: int, stage: str, key: ReflectionKey = ("", 0)) -> int:
        """Seed of one generation: depends on its place in the work, not on when it runs."""
        identity = f"{self.seed}|{self.iteration_number}|{self.protocol}|{question_id}|{stage}|{key[0]}|{key[1]}"
        # 31 bits: the largest range every backend takes as it is.
        return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") >> 1


@dataclass(slots=True)
class Done:
    """What is stored of one question: its attempt, its reflections and their corrections, and its retry."""

    attempt: StoredAttempt | None = None
    reflections: dict[ReflectionKey, StoredReflection] = field(default_factory=dict)
    corrected: dict[int, Verdict] = field(default_factory=dict)
    """Reflection id → verdict of its correction."""
    retry: Verdict | None = None
    """Verdict of the retry without reflection."""


def gather_done(attempts: Iterable[StoredAttempt], reflections: Iterable[StoredReflection]) -> dict[int, Done]:
    """Sort stored rows of a sweep by question."""
    done: dict[int, Done] = {}
    question_of: dict[int, int] = {}
    for attempt in attempts:
        entry = done.setdefault(attempt.question_id, Done())
        if attempt.turn == 1:
            entry.attempt = attempt
            question_of[attempt.id] = attempt.question_id
        elif attempt.reflection_id is None:
            entry.retry = attempt.verdict
        else:
            entry.corrected[attempt.reflection_id] = attempt.verdict
    for reflection in reflections:
        question_id = question_of.get(reflection.attempt_id)
        if question_id is not None:
            done[question_id].reflections[(reflection.instruction, reflection.sample)] = reflection
    return done


@dataclass(frozen=True, slots=True)
class Counts:
    """Items done and known of each stage of a sweep."""

    done: dict[str, int]
    total: dict[str, int]
    correct: dict[str, int]
    """Items with the verdict `correct`, of the stages that have verdicts."""

    @property
    def complete(self) -> bool:
        """True when nothing is owed."""
        return self.done == self.total


def count(sweep: Sweep, done: Mapping[int, Done]) -> Counts:
    """Count what is stored against what the stored verdicts ask for."""
    finished = dict.fromkeys(("attempt", "reflect", "correct", "retry"), 0)
    total, correct = dict(finished), dict(finished)
    total["attempt"] = len(sweep.questions)
    for question in sweep.questions:
        entry = done.get(question.id)
        if entry is None or entry.attempt is None:
            continue
        finished["attempt"] += 1
        correct["attempt"] += entry.attempt.verdict == "correct"
        if entry.attempt.error is not None or not sweep.needs_reflection(entry.attempt.verdict):
            continue
        keys = sweep.draws[question.id]
        total["reflect"] += len(keys)
        finished["reflect"] += sum(key in entry.reflections for key in keys)
        usable = [entry.reflections[key] for key in keys if key in entry.reflections]
        failed = sum(reflection.error is not None for reflection in usable)
        total["correct"] += len(keys) - failed
        verdicts = [entry.corrected[reflection.id] for reflection in usable if reflection.id in entry.corrected]
        finished["correct"] += len(verdicts)
        correct["correct"] += verdicts.count("correct")
        if sweep.retry and entry.attempt.verdict == "incorrect":
            total["retry"] += 1
            finished["retry"] += entry.retry is not None
            correct["retry"] += entry.retry == "correct"
    return Counts(finished, total, correct)


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


def attempt_prompt(sweep: Sweep, question_id: int) -> list[Message]:
    """Messages of attempt 1."""
    return attempt_messages(sweep.problems[question_id])


def reflection_prompt(sweep: Sweep, question_id: int, attempt_text: str, instruction: str) -> list[Message]:
    """Messages of a reflection on attempt 1."""
    return reflection_messages(
        sweep.problems[question_id],
        attempt_text,
        instructions.compose(instruction, sweep.pool),
        told_wrong=not sweep.reflect_on_all,
    )


def correction_prompt(sweep: Sweep, question_id: int, attempt_text: str, reflection_text: str) -> list[Message]:
    """Messages of a correction from attempt 1 and one reflection on it."""
    return correction_messages(
        sweep.problems[question_id],
        attempt_text,
        reflection_text,
        show_previous_attempt=sweep.correction.show_previous_attempt,
        told_wrong=not sweep.reflect_on_all,
    )


def retry_prompt(sweep: Sweep, question_id: int, attempt_text: str) -> list[Message]:
    """Messages of a second try without a reflection."""
    return retry_messages(
        sweep.problems[question_id],
        attempt_text,
        show_previous_attempt=sweep.correction.show_previous_attempt,
        told_wrong=not sweep.reflect_on_all,
    )
