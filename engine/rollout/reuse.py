"""Stored texts that a plan reuses instead of generating them again.

A text is reused if it answers the same prompt (version and hash) under the same policy, for the same question and
sample. The caller that offers the texts has to ensure equal decoding parameters. Values only, without a database or a
model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from store.records import StoredAttempt, StoredReflection


@dataclass(frozen=True, slots=True)
class Reusable:
    """The texts offered for reuse: first attempts by (question, sample), reflections by (question, instruction,
    sample)."""

    attempts: Mapping[tuple[int, int], StoredAttempt] = field(default_factory=dict)
    reflections: Mapping[tuple[int, str, int], StoredReflection] = field(default_factory=dict)

    def attempt(
        self, question_id: int, sample: int, *, policy_id: int, version: str, prompt_hash: str
    ) -> StoredAttempt | None:
        """Return the stored attempt that answers this prompt, if there is one."""
        stored = self.attempts.get((question_id, sample))
        return stored if stored is not None and _same(stored, policy_id, version, prompt_hash) else None

    def reflection(
        self, question_id: int, instruction: str, sample: int, *, policy_id: int, version: str, prompt_hash: str
    ) -> StoredReflection | None:
        """Return the stored reflection that answers this prompt, if there is one."""
        stored = self.reflections.get((question_id, instruction, sample))
        return stored if stored is not None and _same(stored, policy_id, version, prompt_hash) else None


def offer(attempts: Iterable[StoredAttempt], reflections: Iterable[StoredReflection] = ()) -> Reusable:
    """Offer the first attempts among stored rows and the reflections on them, without failed generations."""
    first = {attempt.id: attempt for attempt in attempts if attempt.turn == 1 and attempt.error is None}
    return Reusable(
        {(attempt.question_id, attempt.sample): attempt for attempt in first.values()},
        {
            (first[made.attempt_id].question_id, made.instruction, made.sample): made
            for made in reflections
            if made.error is None and made.attempt_id in first
        },
    )


def _same(stored: StoredAttempt | StoredReflection, policy_id: int, version: str, prompt_hash: str) -> bool:
    return (stored.policy_id, stored.prompt_version, stored.prompt_hash) == (policy_id, version, prompt_hash)
