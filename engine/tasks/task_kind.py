"""What every kind of task says of itself: how its questions are loaded, its replies verified, its answers compared.

A kind is a subclass with its name in `kind`, registered in `engine.tasks`. Everything else asks the kind, never for its
name. Must not know any single kind, nor a database, a model or a prompt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from engine.tasks.answers.stated_answer import states_reference
from engine.tasks.answers.stated_program import Solves
from engine.tasks.base import Loaded, Verification, normalised
from store.settings.tasks import TaskSection

SettingsT_contra = TypeVar("SettingsT_contra", bound=TaskSection, contravariant=True)


class TaskType(ABC, Generic[SettingsT_contra]):
    """One kind of task, by the form of its answers."""

    kind: ClassVar[str]
    isolated: ClassVar[bool] = False
    """True when `verify` may hang or exhaust memory on a hostile reply: call it in a process with limits."""
    sandboxed: ClassVar[bool] = False
    """True when `verify` runs a program of the model in the sandbox and waits for it: call it in a thread."""
    graded: ClassVar[bool] = False
    """True when the score of a verification is a token F1, so that exact match and F1 are measured."""
    generated: ClassVar[bool] = False
    """True when questions come from a template and a seed: they repeat a held-out question only when they are identical
    but for their wording; see `engine.tasks.loading.contamination`."""

    @abstractmethod
    def load(self, settings: SettingsT_contra, base_dir: Path, seed: int) -> Loaded:
        """Load the questions; paths are relative to `base_dir`. The same arguments give the same questions.

        Raises TaskError when the task can't be loaded as set.
        """

    @abstractmethod
    def verify(self, reply: str, reference: str, payload: Mapping[str, object]) -> Verification:
        """Verify a whole reply of the model against the reference. Never raises because of what the reply says."""

    @abstractmethod
    def format_instruction(self, settings: SettingsT_contra) -> str:
        """The short instruction on the answer format that follows every question."""

    def same_answer_key(self, answer: str) -> str:
        """What answers that count as one in a vote have in common; by default their text, without regard to case and
        spacing."""
        return normalised(answer)

    def matches_exactly(self, answer: str, reference: str, payload: Mapping[str, object]) -> bool:
        """Whether an answer is the reference, word for word; asked where the kind is `graded`."""
        return self.same_answer_key(answer) == self.same_answer_key(reference)

    def states_answer(
        self, text: str, *, reference: str, question_text: str, attempt_text: str, solves: Solves | None = None
    ) -> bool:
        """Whether a reflection states the reference answer, so that it must not be learnt.

        Args:
            text: the reflection.
            reference: the reference answer.
            question_text: the question as asked, with its options.
            attempt_text: the attempt that is reflected on; what it holds already is not given away.
            solves: from `solver`, where answers can be tried.
        """
        return states_reference(text, reference=reference, question_text=question_text, attempt_text=attempt_text)

    def solver(self, payload: Mapping[str, object]) -> Solves | None:
        """Tries whether a text answers a question with this payload; None where only a reference tells."""
        return None
