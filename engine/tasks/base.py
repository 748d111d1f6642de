"""What every task type has in common: questions, worked examples and verifications.

Terms as in the paper (ReflectEvo, ACL 2025 Findings, arXiv 2505.16475, section 3). This module must not know
any single task type, nor a database, a model or a prompt.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Literal

from store.records import Split, Verdict

_NAMED_ROWS = 20
"""Rows of a task that are named one by one when they are left out; the others are counted."""


def render_question(text: str, options: Sequence[str] = ()) -> str:
    """The question as asked: its text, then one line per option (`A. …`). At most 26 options."""
    lines = [f"{letter}. {option.strip()}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    return "\n".join([text.strip(), *lines])


def normalised(text: str) -> str:
    """The text in one case and with single spaces: what duplicates are found by."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True)
class Question:
    """One task item with its reference answer and what its verifier needs."""

    task: str
    domain: str
    split: Split
    text: str
    options: tuple[str, ...]
    """Texts of the options in order, without letters; empty when there are none or they stand inside `text`."""
    reference: str
    payload: Mapping[str, object]
    """What `TaskType.verify` needs beside the reference; JSON-serialisable. `worked` is the reply that a perfect model
    would give, for training without reflection; it never reaches a prompt of this question."""

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) of what makes this question this question: task, text, options, reference, verifier payload.

        The split is left out: it belongs to a run, which may divide the same questions differently.
        """
        identity = [self.task, self.text, list(self.options), self.reference, dict(self.payload)]
        content = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def wording(self) -> str:
        """The question as asked, without regard to case and spacing: equal for questions that ask the same."""
        return normalised(render_question(self.text, self.options))


@dataclass(frozen=True)
class Verification:
    """The verifier's word on one reply."""

    verdict: Verdict
    answer: str | None
    """The answer read from the reply; None when the reply holds none in a known form."""
    rule: str
    """The extraction rule that found the answer; empty when none did."""
    score: float | None
    """The verifier's own score, where it gives one (0 to 1)."""
    detail: str
    """Why the verdict is what it is, for an operator."""


@dataclass(frozen=True)
class Example:
    """A worked example for one chat turn: the question as asked and an answer in the task's answer format."""

    question: str
    answer: str
    attempt: str | None = None
    """A wrong answer to it, where there is a reflection on one."""
    reflection: str | None = None

    @property
    def wording(self) -> str:
        """Comparable with `Question.wording`."""
        return normalised(self.question)


def worked_example(question: Question, row: Mapping[str, object]) -> Example:
    """The worked example of a question: as asked, and the worked answer of its payload. The row isn't needed."""
    return Example(render_question(question.text, question.options), str(question.payload["worked"]))


@dataclass(frozen=True)
class Row:
    """One readable row of a data source."""

    number: int
    """Its line in a text file, or its number in any other source; 1 is the first."""
    values: Mapping[str, object]


@dataclass(frozen=True)
class SkippedRow:
    """A row of a data source that was left out, and why."""

    path: str
    """The file, or the hub dataset with its split."""
    line: int
    """1 is the first."""
    reason: str
    unit: Literal["line", "row"] = "line"
    """What `line` counts."""

    @property
    def place(self) -> str:
        """Where to look, e.g. `quiz.jsonl, line 5`."""
        return f"{self.path}, {self.unit} {self.line}"


@dataclass(frozen=True)
class Loaded:
    """The questions of one task. Train, dev, test and few-shot examples never share a question."""

    train: tuple[Question, ...]
    test: tuple[Question, ...]
    few_shot: tuple[Example, ...] = ()
    dev: tuple[Question, ...] = ()
    """Set aside for tuning: never trained on, shown or held out."""
    skipped: tuple[SkippedRow, ...] = ()
    notes: tuple[str, ...] = ()
    """Remarks for an operator, e.g. that fewer questions exist than were asked for."""

    def remarks(self, task: str) -> list[str]:
        """All that an operator should read: the first rows left out by their place, the others by reason, the notes."""
        named = [f"{row.place} was left out: {row.reason}" for row in self.skipped[:_NAMED_ROWS]]
        reasons = Counter(row.reason for row in self.skipped[_NAMED_ROWS:])
        counted = [f"task {task}: {count} more rows were left out: {why}" for why, count in reasons.most_common(20)]
        return [*named, *counted, *self.notes]
