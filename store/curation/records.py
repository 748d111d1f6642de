"""Frozen records of curated rows, preferences and judge requests. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from store.curation.training_settings import SetName


@dataclass(frozen=True, slots=True)
class CuratedRow:
    """One decision of curation, with the reason when something was left out."""

    id: int
    iteration_id: int
    set_name: SetName
    reflection_id: int
    rejected_reflection_id: int | None
    correction_id: int | None
    included: bool
    reason: str


@dataclass(frozen=True, slots=True)
class FunnelCount:
    """How many rows of a training set share a task, an instruction and a fate. `reason` is `included`, or why not.

    The instruction of a pair is that of its first reflection, which asks for both.
    """

    set_name: SetName
    task: str
    instruction: str
    reason: str
    included: bool
    n: int


@dataclass(frozen=True, slots=True)
class Preference:
    """One judgement on two reflections on the same attempt, both of which led to a correct answer.

    `confidence` is 0 to 1; 0 decides nothing, and `note` then says why. `reviewer` is an operator or a judge.
    """

    id: int
    chosen_id: int
    rejected_id: int
    source: Literal["verdict", "judge", "human"]
    confidence: float | None
    reviewer: str
    note: str
    created: float


@dataclass(frozen=True, slots=True)
class OpenPair:
    """A pair that nobody has judged yet, with what an operator needs to judge it.

    `id` is that of its row in `curated`, in whose order pairs are listed.
    """

    id: int
    task: str
    question_id: int
    attempt_id: int
    first_id: int
    second_id: int
    question: str
    options: tuple[str, ...]
    attempt: str
    first_text: str
    second_text: str


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One question to a judge: which of two reflections is better, in this order.

    `answer` is None while it is under way, or when the process ended meanwhile; `unclear` when the reply named neither;
    `failed` when there was no reply.
    """

    id: int
    iteration_id: int
    first_id: int
    second_id: int
    judge: str
    prompt_version: str
    answer: Literal["first", "second", "unclear", "failed"] | None
    created: float
