"""The input and output of curation: candidates (reflections with outcomes), rows of the sets, and common reasons.

A human `accept` overrides the filters on the text, but neither a verdict nor the check that no prompt states its
target. A human `reject` excludes a reflection as a training target. A `flag` has no effect. Independent of the
database, prompts and training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.curation.unfit_answers import NO_WORDING, PromptWording
from engine.tasks.answers.stated_program import Solves
from store.curation.curated import NewCurated
from store.curation.exclusion_reasons import BELOW_MIN_LIFT, CORRECTION_INCORRECT
from store.curation.training_settings import SetName
from store.records import ReviewState, Verdict
from store.settings import CurationSection

INCLUDED = "included"
NOT_CORRECTED = "not corrected"
INCORRECT = CORRECTION_INCORRECT
UNVERIFIED = "correction unverified"

LIFT_TOLERANCE = 1e-9
"""Lifts are differences of shares: equal ones can differ in the last bits."""


@dataclass(frozen=True)
class Candidate:
    """A reflection with its outcome and the input of the filters."""

    reflection_id: int
    question_id: int
    attempt_id: int
    """The attempt that is reflected on: attempt 1, or in later rounds an incorrect correction."""
    task: str
    instruction: str
    text: str
    correction_id: int | None
    correction_verdict: Verdict | None
    """None if there is no correction yet."""
    reference: str
    question_text: str
    """The question as asked, with its options."""
    attempt_text: str
    finish_reason: str
    review: ReviewState | None
    """The decision of the newest review: `accept`, `reject`, `flag` or None."""
    kind: str = ""
    """The kind of task, for filters that depend on it."""
    correction_text: str = ""
    """The correction as a training target."""
    correction_finish_reason: str = ""
    """Why the generation of the correction ended; `length` if it was cut."""
    correction_wording: PromptWording = NO_WORDING
    """The wording of the correction's prompt; see `engine.curation.unfit_answers.correction_wording`."""
    prompt_text: str = ""
    """The text of all prompts it can be trained with; see `engine.prompts.leakage.training_prompts`."""
    correction_request: str = ""
    """The last message of the correction's prompt, which contains the reflection."""
    request_text: str = ""
    """The last message of the reflection's prompt in training, which contains the instruction."""
    place: int = 0
    """Position of the reflection in the rollout plan, from 1; 0 if unknown, in which case the id is used. Ids follow
    the order of completion, which differs if a run was interrupted."""
    attempt_verdict: Verdict = "incorrect"
    """The verdict on the attempt that is reflected on; `correct` only with `reflection.on = "all"`."""
    lift: float | None = None
    """See `store.rollouts.lift`; None if unknown: a single correction, a later round, or a right attempt."""
    lift_draws: int = 0
    """Number of verified corrections with the reflection that the lift is computed from."""
    general_prompt_text: str = ""
    """`prompt_text` with the general instruction, which a pair of two instructions is asked with."""
    solves: Solves | None = None
    """Predicate that tests whether a text answers the question, if the kind of task has one; see `TaskType.solver`."""

    @property
    def rank(self) -> int:
        """The key that breaks ties."""
        return self.place or self.reflection_id

    @property
    def on_right_attempt(self) -> bool:
        """Whether it reflects on a right attempt, which its correction should keep."""
        return self.attempt_verdict == "correct"


def in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Sort the candidates, so that the order does not depend on the order of the input."""
    return sorted(candidates, key=lambda one: (one.rank, -1 if one.correction_id is None else one.correction_id))


def verdict_reason(candidate: Candidate) -> str | None:
    """Return why a reflection did not lead to a correct answer; None if it did."""
    reasons: dict[Verdict | None, str | None] = {
        "correct": None,
        "incorrect": INCORRECT,
        "unverified": UNVERIFIED,
        None: NOT_CORRECTED,
    }
    return reasons[candidate.correction_verdict]


def lift_reason(candidate: Candidate, settings: CurationSection) -> str | None:
    """Return `lift below min_lift` if the lift is known and too low, else None. No review overrides it."""
    if settings.min_lift is None or candidate.lift is None or candidate.lift >= settings.min_lift - LIFT_TOLERANCE:
        return None
    return BELOW_MIN_LIFT


def pair_prompt(one: Candidate, other: Candidate) -> str:
    """Return the text of all prompts that a pair can be trained with: with its instruction, or the general one."""
    return one.prompt_text if one.instruction == other.instruction else one.general_prompt_text


def ranked(candidates: Sequence[Candidate], seed: int) -> list[Candidate]:
    """Sort the reflections on one attempt in the order in which pairs use them.

    Reflections accepted by a human come first, then one of each instruction before a second of any; ties are broken by
    the seed.
    """
    drawn = sorted(candidates, key=lambda one: (one.review != "accept", tie(seed, "reflection", one.rank)))
    seen: dict[str, int] = {}
    turn: dict[int, int] = {}
    for one in drawn:
        turn[one.reflection_id] = seen[one.instruction] = seen.get(one.instruction, -1) + 1
    return sorted(drawn, key=lambda one: (one.review != "accept", turn[one.reflection_id]))


def row(set_name: SetName, one: Candidate, other: Candidate | None, included: bool, reason: str) -> NewCurated:
    """Build the row of one reflection, or of a pair."""
    partner = other.reflection_id if other else None
    return NewCurated(set_name, one.reflection_id, partner, one.correction_id, included, reason)


def tie(seed: int, kind: str, number: int) -> str:
    """Return a sort key (SHA-256, hex) that breaks ties pseudo-randomly by the seed and a position or id."""
    return hashlib.sha256(f"curation|{seed}|{kind}|{number}".encode()).hexdigest()
