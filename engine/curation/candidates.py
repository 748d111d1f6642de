"""What curation decides about: reflections with their outcomes, the rows of the sets, and the reasons they share.

A human `accept` overrules the filters on the text, never a verdict, nor the guard against a prompt that states the
answer. A human `reject` keeps a reflection out of what is learnt. A `flag` changes nothing. Knows nothing of databases,
prompts or training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.tasks.answers.stated_program import Solves
from store.curation.curated import NewCurated
from store.curation.training_settings import SetName
from store.records import Verdict

INCLUDED = "included"
NOT_CORRECTED = "not corrected"
INCORRECT = "correction incorrect"
UNVERIFIED = "correction unverified"


@dataclass(frozen=True)
class Candidate:
    """A reflection with its outcome and what the filters need to know."""

    reflection_id: int
    question_id: int
    attempt_id: int
    """The attempt that is reflected on: the first one, or in later rounds a failed correction."""
    task: str
    instruction: str
    text: str
    correction_id: int | None
    correction_verdict: Verdict | None
    """None when there is no correction yet."""
    reference: str
    question_text: str
    """The question as asked, with its options."""
    attempt_text: str
    finish_reason: str
    review: str | None
    """The newest review's decision: `accept`, `reject`, `flag` or None."""
    kind: str = ""
    """Task type, for filters that differ by it."""
    correction_text: str = ""
    """The corrected attempt as trained on."""
    prompt_text: str = ""
    """All that the prompts say which it may be trained with: see `engine.prompts.leakage.training_prompts`."""
    correction_request: str = ""
    """The last turn of the prompt that asks for the correction, which holds the reflection."""
    request_text: str = ""
    """The last message of the prompt that asks for the reflection in training: the instruction as it was given."""
    place: int = 0
    """Place of the reflection in the work, from 1. Ids follow the order in which texts were finished, and that differs
    when a run was interrupted; where no place is given the id stands for it."""
    solves: Solves | None = None
    """Tries whether a text answers the question, where its kind of task can; see `TaskType.solver`."""

    @property
    def rank(self) -> int:
        """What decides between equals."""
        return self.place or self.reflection_id


def in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates in an order that depends on themselves alone."""
    return sorted(candidates, key=lambda one: (one.rank, -1 if one.correction_id is None else one.correction_id))


def verdict_reason(candidate: Candidate) -> str | None:
    """Why a reflection led to no correct answer, or None."""
    reasons: dict[Verdict | None, str | None] = {
        "correct": None,
        "incorrect": INCORRECT,
        "unverified": UNVERIFIED,
        None: NOT_CORRECTED,
    }
    return reasons[candidate.correction_verdict]


def ranked(candidates: Sequence[Candidate], seed: int) -> list[Candidate]:
    """Reflections of one attempt in the order in which pairs take them: accepted by a human first, then one of each
    instruction before a second of any, then by seed."""
    drawn = sorted(candidates, key=lambda one: (one.review != "accept", tie(seed, "reflection", one.rank)))
    seen: dict[str, int] = {}
    turn: dict[int, int] = {}
    for one in drawn:
        turn[one.reflection_id] = seen[one.instruction] = seen.get(one.instruction, -1) + 1
    return sorted(drawn, key=lambda one: (one.review != "accept", turn[one.reflection_id]))


def row(set_name: SetName, one: Candidate, other: Candidate | None, included: bool, reason: str) -> NewCurated:
    """A row about one reflection, or about a pair."""
    partner = other.reflection_id if other else None
    return NewCurated(set_name, one.reflection_id, partner, one.correction_id, included, reason)


def tie(seed: int, kind: str, number: int) -> str:
    """Decides between equals: depends on the seed and the place (or id), on nothing else."""
    return hashlib.sha256(f"curation|{seed}|{kind}|{number}".encode()).hexdigest()
