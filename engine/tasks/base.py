"""Record types shared by all task types: questions, worked examples, verifications and loaded tasks.

Terms as in the paper (ReflectEvo, ACL 2025 Findings, arXiv 2505.16475, section 3). This module must not depend on a
particular task type, nor on the database, a model or the prompts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Literal

from store.evaluation.number_format import counted
from store.records import Split, Verdict

NO_ANSWER = "no answer found in the reply"
"""Detail of a verification of a reply that contains no answer in a form that can be read."""

_NAMED_ROWS = 20
"""Number of skipped rows of a task that are listed individually; further ones are only counted."""


def render_question(text: str, options: Sequence[str] = ()) -> str:
    """Render a question as it is asked: its text, then one line per option (`A. …`). At most 26 options."""
    lines = [f"{letter}. {option.strip()}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    return "\n".join([text.strip(), *lines])


def normalised(text: str) -> str:
    """Return the text case-folded and with single spaces, the form in which duplicates are detected."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True)
class Question:
    """One task item with its reference answer and the data that its verifier needs."""

    task: str
    domain: str
    split: Split
    text: str
    options: tuple[str, ...]
    """Texts of the options in order, without letters; empty if there are none or they are part of `text`."""
    reference: str
    payload: Mapping[str, object]
    """Input of `TaskType.verify` besides the reference; JSON-serialisable. `worked` is an ideal reply, used as the
    target of training without reflection; it never appears in a prompt of this question."""

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) of the identity of the question: task, text, options, reference and verifier payload.

        The split is not included: it belongs to a run, and another run may split the same questions differently.
        """
        identity = [self.task, self.text, list(self.options), self.reference, dict(self.payload)]
        content = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def wording(self) -> str:
        """The rendered question without regard to case and spacing; equal for duplicate questions."""
        return normalised(render_question(self.text, self.options))


@dataclass(frozen=True)
class Verification:
    """The verifier's result for one reply."""

    verdict: Verdict
    answer: str | None
    """The answer extracted from the reply; None if it contains none in a known form."""
    rule: str
    """The extraction rule that matched; empty if none did."""
    score: float | None
    """Score from 0 to 1, where the verifier computes one."""
    detail: str
    """Explanation of the verdict for the operator."""


@dataclass(frozen=True)
class Example:
    """A worked example for one chat turn: the rendered question and an answer in the task's answer format."""

    question: str
    answer: str
    attempt: str | None = None
    """An incorrect attempt at the question, if the example also shows a reflection."""
    reflection: str | None = None
    """A reflection on `attempt`."""

    @property
    def wording(self) -> str:
        """The question in the form of `Question.wording`."""
        return normalised(self.question)


def worked_example(question: Question, row: Mapping[str, object]) -> Example:
    """Build the worked example of a question from the worked answer in its payload. The row is not used."""
    return Example(render_question(question.text, question.options), str(question.payload["worked"]))


@dataclass(frozen=True)
class Row:
    """One readable row of a data source."""

    number: int
    """Line in a text file, or row number in any other source, counted from 1."""
    values: Mapping[str, object]


@dataclass(frozen=True)
class SkippedRow:
    """A row of a data source that was skipped, with the reason."""

    path: str
    """The file, or the hub dataset with its split."""
    line: int
    """Counted from 1."""
    reason: str
    unit: Literal["line", "row"] = "line"
    """What `line` counts."""

    @property
    def place(self) -> str:
        """Location of the row, e.g. `quiz.jsonl, line 5`."""
        return f"{self.path}, {self.unit} {self.line}"


@dataclass(frozen=True)
class Loaded:
    """The questions of one task. No question occurs in more than one of train, dev, test and few-shot examples."""

    train: tuple[Question, ...]
    test: tuple[Question, ...]
    few_shot: tuple[Example, ...] = ()
    dev: tuple[Question, ...] = ()
    """Questions for tuning, separate from training, worked examples and the held-out test questions."""
    skipped: tuple[SkippedRow, ...] = ()
    notes: tuple[str, ...] = ()
    """Notes for the operator, e.g. that fewer questions exist than were requested."""

    def remarks(self, task: str) -> list[str]:
        """Return messages for the operator: skipped rows (the first by location, the rest by reason), then notes."""
        named = [f"{row.place} was left out: {row.reason}" for row in self.skipped[:_NAMED_ROWS]]
        reasons = Counter(row.reason for row in self.skipped[_NAMED_ROWS:])
        more = [
            f"task {task}: {counted(n, 'more row')} {'was' if n == 1 else 'were'} left out: {why}"
            for why, n in reasons.most_common(20)
        ]
        return [*named, *more, *self.notes]
