"""Frozen records of curated rows, preferences and judge requests. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from store.curation.training_settings import SetName


@dataclass(frozen=True, slots=True)
class CuratedRow:
    """A row of a training set, included or left out; `reason` is the reason for leaving it out."""

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
    """Number of rows of a training set by task, instruction and reason; `reason` is `included` for included rows.

    The instruction of a pair is that of its first reflection.
    """

    set_name: SetName
    task: str
    instruction: str
    reason: str
    included: bool
    n: int


@dataclass(frozen=True, slots=True)
class Preference:
    """A preference between two reflections on the same attempt, both of which led to a correct answer.

    `confidence` is from 0 to 1; 0 is no decision, with the reason in `note`. `reviewer` is an operator or a judge.
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
    """A pair without a preference, with the texts that an operator needs to judge it.

    `id` is that of its row in `curated`; pairs are listed in this order.
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
    """A request to a judge to compare two reflections, shown in this order.

    `answer` is None while the request is in progress, or if the process ended before it completed; `unclear` if the
    reply named neither reflection; `failed` if there was no reply.
    """

    id: int
    iteration_id: int
    first_id: int
    second_id: int
    judge: str
    prompt_version: str
    answer: Literal["first", "second", "unclear", "failed"] | None
    created: float
