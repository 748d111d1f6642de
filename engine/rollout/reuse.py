"""Stored texts that a plan reuses instead of generating them again.

A text is reused if it answers the same prompt (version and hash) under the same policy, at the same place of the plan:
question, chain, round and sample. The caller that offers the texts has to ensure equal decoding parameters. Values
only, without a database or a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from store.records import StoredAttempt, StoredReflection

ReflectionPlace = tuple[int, str, int, int]
"""The place of a reflection: question id, instruction and sample of its chain's first reflection, and the round."""

CorrectionPlace = tuple[int, str, int, int, int]
"""The place of a correction: that of its reflection, and the number of the correction among those with it."""


@dataclass(frozen=True, slots=True)
class Prompted:
    """The prompt that a text has to answer, and the policy that has to have written it."""

    policy_id: int
    version: str
    hash: str

    def accepts(self, stored: StoredAttempt | StoredReflection | None) -> bool:
        """Check whether a stored text is a reply of this policy to this prompt."""
        return stored is not None and (stored.policy_id, stored.prompt_version, stored.prompt_hash) == (
            self.policy_id,
            self.version,
            self.hash,
        )


@dataclass(frozen=True, slots=True)
class Reusable:
    """The texts offered for reuse, by their places: attempts and retries by (question, sample)."""

    attempts: Mapping[tuple[int, int], StoredAttempt] = field(default_factory=dict)
    reflections: Mapping[ReflectionPlace, StoredReflection] = field(default_factory=dict)
    corrections: Mapping[CorrectionPlace, StoredAttempt] = field(default_factory=dict)
    retries: Mapping[tuple[int, int], StoredAttempt] = field(default_factory=dict)

    def attempt(self, question_id: int, sample: int, prompt: Prompted) -> StoredAttempt | None:
        """Return the stored attempt that answers this prompt, if there is one."""
        stored = self.attempts.get((question_id, sample))
        return stored if prompt.accepts(stored) else None

    def reflection(self, place: ReflectionPlace, prompt: Prompted) -> StoredReflection | None:
        """Return the stored reflection that answers this prompt, if there is one."""
        stored = self.reflections.get(place)
        return stored if prompt.accepts(stored) else None

    def correction(self, place: CorrectionPlace, prompt: Prompted) -> StoredAttempt | None:
        """Return the stored correction that answers this prompt, if there is one."""
        stored = self.corrections.get(place)
        return stored if prompt.accepts(stored) else None

    def retry(self, question_id: int, sample: int, prompt: Prompted) -> StoredAttempt | None:
        """Return the stored retry without a reflection that answers this prompt, if there is one."""
        stored = self.retries.get((question_id, sample))
        return stored if prompt.accepts(stored) else None


def offer(
    attempts: Iterable[StoredAttempt], reflections: Iterable[StoredReflection] = (), *, corrections: bool = False
) -> Reusable:
    """Offer stored rows for reuse, without failed generations.

    Args:
        attempts: attempts of all turns; those of turn 1 are offered.
        reflections: the reflections on them to offer.
        corrections: whether to offer what follows the first attempts too: corrections and retries.
    """
    made = {attempt.id: attempt for attempt in attempts if attempt.error is None}
    reflected = {one.id: one for one in reflections if one.error is None and one.attempt_id in made}
    places = dict(_places(made, reflected))
    first = {(one.question_id, one.sample): one for one in made.values() if one.turn == 1}
    offered = {places[one.id]: one for one in reflected.values() if one.id in places}
    if not corrections:
        return Reusable(first, offered)
    return Reusable(
        first,
        offered,
        {
            (*places[one.reflection_id], one.sample): one
            for one in made.values()
            if one.reflection_id is not None and one.reflection_id in places
        },
        {(one.question_id, one.sample): one for one in made.values() if one.turn > 1 and one.reflection_id is None},
    )


def _places(
    attempts: Mapping[int, StoredAttempt], reflections: Mapping[int, StoredReflection]
) -> Iterator[tuple[int, ReflectionPlace]]:
    """Yield the ids and places of the reflections whose chain is complete down to a first attempt."""
    for reflection in reflections.values():
        start, attempt, round = reflection, attempts[reflection.attempt_id], 1
        while attempt.turn > 1:
            before = reflections.get(attempt.reflection_id or 0)
            if before is None:
                break
            start, attempt, round = before, attempts[before.attempt_id], round + 1
        else:
            yield reflection.id, (attempt.question_id, start.instruction, start.sample, round)
