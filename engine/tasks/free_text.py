"""The task type `free_text`: short answers, verified by exact match or by token F1 with a threshold.

Both texts are normalised as in SQuAD, except that symbols which change the meaning are kept; see
`engine.tasks.answers.short_text`. The best of several accepted references counts. A row whose text lists options and
whose answer is one of their letters, as in the BIG-bench file of the paper's authors, is a multiple-choice question.
Independent of the source of the questions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from engine.tasks.answers.extraction import LONGEST_WHOLE_REPLY, cleaned, extract, lettered_options
from engine.tasks.answers.short_text import answer_forms, exact_match, simplified
from engine.tasks.base import NO_ANSWER, Loaded, Question, Verification, normalised, worked_example
from engine.tasks.choice import verify_option
from engine.tasks.loading.fields import RowRefused, asked, field, texts
from engine.tasks.loading.options import LETTERS
from engine.tasks.loading.sources import load_local
from engine.tasks.task_kind import TaskType
from store.evaluation.number_format import counted
from store.records import Split
from store.settings.tasks import FreeTextTask

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

        return _counted(settings.name, load_local(settings, base_dir, seed, question, worked_example))

    def verify(self, reply: str, reference: str, payload: Mapping[str, object]) -> Verification:
        """Verify a reply: correct on an exact match, or if its token F1 reaches the `threshold` of the payload.

        `score` is always the token F1. A reply of one short line without an answer marker counts as the answer: the
        prompt requests a few words, and the comparison is strict enough to reject anything else.
        """
        if isinstance(payload.get("options"), Mapping):
            return verify_option(reply, reference, payload)
        references = _accepted(reference, payload)
        found = extract(reply, whole_reply=True, letter_mark=True, accepts=_is_short)
        if found.answer is None or found.raw is None:
            return Verification("incorrect", None, "", 0.0, NO_ANSWER)
        for form in answer_forms(found.answer, sentence=found.rule != "phrase"):
            if any(exact_match(form, one) for one in references):
                score = max(token_f1(form, one) for one in references)
                return Verification("correct", form, found.rule, score, "exact match")
        score = max(token_f1(found.answer, one) for one in references)
        threshold = payload.get("threshold")
        if not isinstance(threshold, int | float):
            return Verification("incorrect", found.answer, found.rule, score, f"token F1 {score:.2f}, no exact match")
        enough = score >= threshold
        detail = f"token F1 {score:.2f} {'reaches' if enough else 'is below'} the threshold {threshold:.2f}"
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
        if isinstance(payload.get("options"), Mapping):
            return normalised(answer) == normalised(reference)
        return any(exact_match(answer, one) for one in _accepted(reference, payload))


def token_f1(answer: str, reference: str) -> float:
    """Compute token F1: the harmonic mean of precision and recall over the words of both normalised texts.

    Words are counted with multiplicity (SQuAD, Rajpurkar et al. 2016, section 6.1). Returns a value from 0 to 1.
    """
    found, wanted = simplified(answer).split(), simplified(reference).split()
    if not found or not wanted:
        return float(exact_match(answer, reference))
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted))


def _is_short(text: str) -> bool:
    return len(text.split()) <= LONGEST_WHOLE_REPLY


def _accepted(reference: str, payload: Mapping[str, object]) -> list[str]:
    """Return the accepted answers of a question."""
    listed = payload.get("references")
    return [str(one) for one in listed] if isinstance(listed, list) and listed else [reference]


def _question(settings: FreeTextTask, row: Mapping[str, object], split: Split) -> Question:
    """Build the question of a row: multiple choice if its text lists options and its answer is one of their letters."""
    text = asked(settings, row)
    references = _references(settings.answer_field, field(row, settings.answer_field))
    options = lettered_options(text)
    letter = cleaned(references[0]).strip("().: ").upper()
    if len(references) == 1 and letter in options:
        letters = LETTERS[: LETTERS.index(max(options)) + 1]
        choice = {"letters": letters, "options": options, "worked": f"Answer: {letter}"}
        return Question(settings.name, settings.domain, split, text, (), letter, choice)
    return Question(
        task=settings.name,
        domain=settings.domain,
        split=split,
        text=text,
        options=(),
        reference=references[0],
        payload={
            "references": references,
            "threshold": settings.threshold,
            "worked": f"Answer: {references[0]}",
        },
    )


def _counted(name: str, loaded: Loaded) -> Loaded:
    """Note how many questions are multiple choice and how many are free text, if a task has both."""
    questions = (*loaded.train, *loaded.dev, *loaded.test)
    listed = sum("options" in question.payload for question in questions)
    if not listed:
        return loaded
    note = (
        f"task {name!r}: {counted(listed, 'question')} with options in the text "
        f"(multiple choice: the letter or the text "
        f"of the option counts), {len(questions) - listed:,} free text"
    )
    return replace(loaded, notes=(*loaded.notes, note))


def _references(name: str, value: object) -> list[str]:
    """Return the distinct accepted answers of a field: a text, a list, or an object in SQuAD's or TriviaQA's form."""
    parts = value
    if isinstance(value, Mapping):
        parts = [value[key] for key in _ANSWER_KEYS if key in value]
    found = list(dict.fromkeys(texts(parts)))
    if not found:
        raise RowRefused(f"field {name!r} holds no answer")
    return found
