"""The task type `free_text`: short answers, verified by SQuAD's exact match or by token F1 with a threshold.

Both texts are lower-cased and stripped of punctuation, articles and extra spaces; the best of several accepted
references counts. SQuAD's normalisation has known limits: `3.5` equals `35`, and `Yves Theard` differs from
`Yves Théard`. A text that it would leave empty (`+`, `A`) is compared unchanged. Independent of the source of the
questions.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from engine.tasks.answers.extraction import extract
from engine.tasks.base import Loaded, Question, Verification, normalised, worked_example
from engine.tasks.loading.fields import RowRefused, asked, field, texts
from engine.tasks.loading.sources import load_local
from engine.tasks.task_kind import TaskType
from store.records import Split
from store.settings.tasks import FreeTextTask

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ANSWER_KEYS = ("text", "value", "answer", "aliases")
"""Keys under which an object lists its answers: SQuAD's `text`, TriviaQA's `value` and `aliases`."""


class FreeText(TaskType[FreeTextTask]):
    """The task type `free_text`."""

    kind: ClassVar[str] = "free_text"
    graded: ClassVar[bool] = True

    def load(self, settings: FreeTextTask, base_dir: Path, seed: int) -> Loaded:
        """Load train, dev and test questions and worked examples. Raises TaskError if the source can't be used."""

        def question(row: Mapping[str, object], split: Split) -> Question:
            return _question(settings, row, split)

        return load_local(settings, base_dir, seed, question, worked_example)

    def verify(self, reply: str, reference: str, payload: Mapping[str, object]) -> Verification:
        """Verify a reply: correct on an exact match, or if its token F1 reaches the `threshold` of the payload.

        `score` is always the token F1. A reply of one short line without an answer marker counts as the answer: the
        prompt requests a few words, and the comparison is strict enough to reject anything else.
        """
        references = _accepted(reference, payload)
        found = extract(reply, whole_reply=True)
        if found.answer is None:
            return Verification("incorrect", None, "", 0.0, "the reply marks no answer")
        score = max(token_f1(found.answer, one) for one in references)
        if any(exact_match(found.answer, one) for one in references):
            return Verification("correct", found.answer, found.rule, score, "exact match")
        threshold = payload.get("threshold")
        if not isinstance(threshold, int | float):
            return Verification("incorrect", found.answer, found.rule, score, f"token F1 {score:.2f}, no exact match")
        enough = score >= threshold
        detail = f"token F1 {score:.2f} {'reaches' if enough else 'stays below'} the threshold {threshold:.2f}"
        return Verification("correct" if enough else "incorrect", found.answer, found.rule, score, detail)

    def format_instruction(self, settings: FreeTextTask) -> str:
        """Return the instruction on the answer format, the same for every free-text task."""
        return "Finish with 'Answer:' and the answer in as few words as possible."

    def feedback(self, detail: str, score: float | None) -> str:
        """Return the token F1 of the answer, as in the paper (section 3.1), but no word of an accepted answer."""
        return "" if score is None else f"Its token F1 against the accepted answer is {score:.2f}."

    def same_answer_key(self, answer: str) -> str:
        """Return the answer normalised as in SQuAD."""
        return simplified(answer) or normalised(answer)

    def accepted_answers(self, reference: str, payload: Mapping[str, object]) -> tuple[str, ...]:
        """Return the reference and its stored alternatives."""
        return tuple(_accepted(reference, payload))

    def matches_exactly(self, answer: str, reference: str, payload: Mapping[str, object]) -> bool:
        """Check whether the answer equals an accepted reference under SQuAD's exact match."""
        return any(exact_match(answer, one) for one in _accepted(reference, payload))


def simplified(text: str) -> str:
    """Normalise a text as SQuAD does: lower case, no punctuation, no articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, reference: str) -> bool:
    """Check whether two texts are equal once normalised; if normalisation empties both, compare them unchanged."""
    one, other = simplified(answer), simplified(reference)
    if one or other:
        return one == other
    return " ".join(answer.lower().split()) == " ".join(reference.lower().split())


def token_f1(answer: str, reference: str) -> float:
    """Compute token F1: the harmonic mean of precision and recall over the words of both normalised texts.

    Words are counted with multiplicity (SQuAD, Rajpurkar et al. 2016, section 6.1). Returns a value from 0 to 1.
    """
    found, wanted = simplified(answer).split(), simplified(reference).split()
    if not found or not wanted:
        return float(exact_match(answer, reference))
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted))


def _accepted(reference: str, payload: Mapping[str, object]) -> list[str]:
    """Return the accepted answers of a question."""
    listed = payload.get("references")
    return [str(one) for one in listed] if isinstance(listed, list) and listed else [reference]


def _question(settings: FreeTextTask, row: Mapping[str, object], split: Split) -> Question:
    references = _references(settings.answer_field, field(row, settings.answer_field))
    return Question(
        task=settings.name,
        domain=settings.domain,
        split=split,
        text=asked(settings, row),
        options=(),
        reference=references[0],
        payload={
            "references": references,
            "threshold": settings.threshold,
            "worked": f"Answer: {references[0]}",
        },
    )


def _references(name: str, value: object) -> list[str]:
    """Return the distinct accepted answers of a field: a text, a list, or an object in SQuAD's or TriviaQA's form."""
    parts = value
    if isinstance(value, Mapping):
        parts = [value[key] for key in _ANSWER_KEYS if key in value]
    found = list(dict.fromkeys(texts(parts)))
    if not found:
        raise RowRefused(f"field {name!r} holds no answer")
    return found
