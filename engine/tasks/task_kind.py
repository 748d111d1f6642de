"""The base class of task types: how questions are loaded, replies verified and answers compared.

A task type is a subclass with its name in `kind`, registered in `engine.tasks`. All other code calls the methods of
this class and never compares names of kinds. Must not depend on a particular kind, the database, a model or the
prompts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from engine.tasks.answers.extraction import ends_in_answer
from engine.tasks.answers.stated_answer import states_reference
from engine.tasks.answers.stated_program import Solves
from engine.tasks.base import Loaded, Question, Verification, normalised
from store.settings.tasks import TaskSection

SettingsT_contra = TypeVar("SettingsT_contra", bound=TaskSection, contravariant=True)


class TaskType(ABC, Generic[SettingsT_contra]):
    """A kind of task, defined by the form of its answers."""

    kind: ClassVar[str]
    """The name of the kind in settings files."""
    isolated: ClassVar[bool] = False
    """Whether `verify` may hang or exhaust memory on a hostile reply and must be called in a process with limits."""
    sandboxed: ClassVar[bool] = False
    """Whether `verify` runs a program of the model in the sandbox and blocks meanwhile; call it in a thread."""
    graded: ClassVar[bool] = False
    """Whether the score of a verification is a token F1, so that exact match and F1 are reported."""
    reasoning_instruction: ClassVar[str] = "Think in short steps first."
    """Request to reason before the answer, used with `attempt.reason`; empty if the format instruction includes it."""
    generated: ClassVar[bool] = False
    """Whether questions come from a template and a seed. Such a question repeats a held-out one only if both have the
    same words, numbers and operators; see `engine.tasks.loading.contamination`."""

    @abstractmethod
    def load(self, settings: SettingsT_contra, base_dir: Path, seed: int) -> Loaded:
        """Load the questions. The same arguments give the same questions.

        Args:
            settings: the settings of the task.
            base_dir: the directory that relative paths refer to.
            seed: the seed of the split and of generated questions.

        Raises:
            TaskError: if the task can't be loaded with these settings.
        """

    def fresh_dev(self, settings: SettingsT_contra, seed: int, draw: int, taken: set[str]) -> tuple[Question, ...]:
        """Return new dev questions, as many as the settings reserve; empty if the task can't generate any.

        The same arguments give the same questions.

        Args:
            settings: the settings of the task.
            seed: the seed that `load` was given.
            draw: the number of the draw, from 1; draw 0 are the questions of `load`.
            taken: wordings of questions that must not be returned; those of the new questions are added to it.

        Raises:
            TaskError: if there are not that many different questions.
        """
        return ()

    @abstractmethod
    def verify(self, reply: str, reference: str, payload: Mapping[str, object]) -> Verification:
        """Verify a complete reply of the model against the reference. Never raises because of the reply's content."""

    def verify_finished(
        self, reply: str, reference: str, payload: Mapping[str, object], finish_reason: str
    ) -> Verification:
        """Verify a reply that may have ended at its limit on tokens.

        A reply that ended inside its answer is `unverified` with the rule `truncated`: `Answer: 1` may be the beginning
        of 12. One that ended before or after its answer is verified like any other.

        Args:
            reply: the reply.
            reference: the reference answer.
            payload: of the question.
            finish_reason: as of the generator; `length` for a reply that reached `max_tokens`.
        """
        if finish_reason == "length" and self.ends_in_answer(reply):
            return Verification("unverified", None, "truncated", None, "the reply reached max_tokens inside its answer")
        return self.verify(reply, reference, payload)

    def ends_in_answer(self, reply: str) -> bool:
        """Check whether a reply ends inside its answer."""
        return ends_in_answer(reply)

    def instruction(self, settings: SettingsT_contra, *, reason: bool = False) -> str:
        """Return the instruction that follows every question: with `reason` to think first, then the answer format."""
        return (
            f"{self.reasoning_instruction} {self.format_instruction(settings)}".strip()
            if reason
            else (self.format_instruction(settings))
        )

    @abstractmethod
    def format_instruction(self, settings: SettingsT_contra) -> str:
        """Return the short instruction on the answer format that follows every question."""

    def same_answer_key(self, answer: str) -> str:
        """Return the key by which a vote groups equal answers; by default the text without regard to case and
        spacing."""
        return normalised(answer)

    def option_count(self, options: Sequence[str], payload: Mapping[str, object]) -> int | None:
        """Return the number of answers that a question offers to choose from; None for an open question, or when the
        number isn't known.

        Args:
            options: the stored options of the question, see `Question.options`.
            payload: the stored payload of the question.
        """
        return len(options) or None

    def accepted_answers(self, reference: str, payload: Mapping[str, object]) -> tuple[str, ...]:
        """Return the answers that count as right, by default the reference alone."""
        return (reference,)

    def matches_exactly(self, answer: str, reference: str, payload: Mapping[str, object]) -> bool:
        """Check whether an answer is an exact match of the reference; used if the kind is `graded`."""
        return self.same_answer_key(answer) == self.same_answer_key(reference)

    def feedback(self, detail: str, score: float | None) -> str:
        """Return what a prompt says on an incorrect attempt with `reflection.feedback = "detail"`, as a sentence.

        Empty if there is nothing to say beyond the verdict. It must not state the reference answer.

        Args:
            detail: the detail of the verdict, as stored with the attempt.
            score: the score of the attempt, from 0 to 1.
        """
        return ""

    def states_answer(
        self, text: str, *, reference: str, question_text: str, attempt_text: str, solves: Solves | None = None
    ) -> bool:
        """Check whether a reflection states the reference answer, which makes it unsuitable for training.

        Args:
            text: the reflection.
            reference: the reference answer.
            question_text: the rendered question, with its options.
            attempt_text: the attempt that is reflected on; repeating its content is not a leak.
            solves: the predicate of `solver`, where answers can be tested.
        """
        return states_reference(text, reference=reference, question_text=question_text, attempt_text=attempt_text)

    def solver(self, payload: Mapping[str, object]) -> Solves | None:
        """Return a predicate that tests whether a text answers a question with this payload; None if answers can only
        be compared with the reference."""
        return None
