"""Multiple choice from local JSONL files: the answer is one letter.

Options stand inside the question's text (LogiQA) or in a field of their own. Knows nothing of how the file
is divided, nor of prompts beyond the answer format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from engine.tasks.base import Example, Judgement, Loaded, Question, Split, render_question
from engine.tasks.extraction import cleaned, extract, lettered_options
from engine.tasks.sources import RowRefused, load_local, text_field
from store.task_settings import ChoiceTask

LETTERS = "ABCDEFGHIJ"
"""Letters an option may have."""

_BARE = re.compile(r"\(?([A-Ja-j])[).:]?")
_LABELLED = re.compile(r"(?i:option|choice|letter|answer)\s+\(?([A-Ja-j])[).:]?")
_OPENING = re.compile(
    r"(?:(?i:option|choice)\s+)?(?:\(([A-Ja-j])\)|([A-J])\)|([A-J])[.:,](?=\s)|([A-J])(?=\s+[-–—=]|\s+(?i:because|since|as)\b))"
)
_OTHER = re.compile(r"(?i:\b(?:and|or|nor)|[,/&])\s*(?i:option\s+)?\(?([A-J])\b\)?(?!['’\w])")


class Choice:
    """The task type `choice`."""

    kind: ClassVar[str] = "choice"
    isolated: ClassVar[bool] = False

    def load(self, settings: ChoiceTask, base_dir: Path, seed: int) -> Loaded:
        """Questions, held-out questions and worked examples. Raises TaskError when the files can't be used."""

        def question(row: Mapping[str, object], split: Split) -> Question:
            return _question(settings, row, split)

        return load_local(settings, base_dir, seed, question, _example)

    def judge(self, reply: str, reference: str, payload: Mapping[str, object]) -> Judgement:
        """Correct when exactly one letter results from the reply and it is the reference.

        No letter, or more than one, is incorrect: a reply that commits to nothing has not answered.
        """
        found = extract(reply)
        if found.answer is None:
            return Judgement("incorrect", None, "", None, "the reply marks no answer")
        options = payload.get("options")
        letter = single_letter(found.answer, options if isinstance(options, dict) else {})
        letters = str(payload.get("letters", LETTERS))
        if letter is None or letter not in letters:
            detail = f"not one letter of {letters}"
            return Judgement("incorrect", found.answer, found.rule, None, detail)
        if letter == reference.upper():
            return Judgement("correct", letter, found.rule, 1.0, "")
        return Judgement("incorrect", letter, found.rule, 0.0, f"{letter} instead of {reference.upper()}")

    def format_instruction(self, settings: ChoiceTask) -> str:
        """The same for every choice task."""
        return "Finish with 'Answer:' and the letter of the right option."


def single_letter(answer: str, options: Mapping[str, str]) -> str | None:
    """The one option an answer names: `B`, `b`, `(B)`, `B. text`, `option B`, or an option's full text.

    `options` are the known texts by letter. None when the answer names no option or more than one.
    """
    for pattern in (_BARE, _LABELLED):
        if match := pattern.fullmatch(answer):
            return match.group(1).upper()
    named = [letter for letter, text in options.items() if _same(answer, text)]
    if named:
        return named[0] if len(named) == 1 else None
    match = _OPENING.match(answer)
    if match is None:
        return None
    letter = next(group for group in match.groups() if group).upper()
    text = answer[match.end() :].strip()
    if letter in options and _same(text, options[letter]):
        return letter
    others = {other.group(1).upper() for other in _OTHER.finditer(answer, max(match.end() - 1, 0))}
    return None if others - {letter} else letter


def _same(one: str, other: str) -> bool:
    left, right = (" ".join(cleaned(text).casefold().split()) for text in (one, other))
    return bool(left) and left == right


def _question(settings: ChoiceTask, row: Mapping[str, object], split: Split) -> Question:
    text = text_field(row, settings.question_field)
    listed = _listed(row, settings.options_field) if isinstance(settings.options_field, str) else ()
    known = dict(zip(LETTERS, listed, strict=False)) if listed else lettered_options(text)
    letters = LETTERS[: LETTERS.index(max(known)) + 1] if known else LETTERS
    answer = text_field(row, settings.answer_field)
    reference = single_letter(cleaned(answer), known)
    if reference is None:
        raise RowRefused(f"field {settings.answer_field!r} holds {answer[:40]!r}, which is not one option's letter")
    if reference not in letters:
        raise RowRefused(f"the answer {reference!r} is none of the options {letters[0]}–{letters[-1]}")
    return Question(
        task=settings.name,
        domain=settings.domain,
        split=split,
        text=text,
        options=listed,
        reference=reference,
        payload={"letters": letters, "options": known},
    )


def _listed(row: Mapping[str, object], field: str) -> tuple[str, ...]:
    """The option texts of a list field, without letters in front."""
    if field not in row:
        raise RowRefused(f"no field {field!r}; the row has {', '.join(map(repr, row))}")
    value = row[field]
    if not isinstance(value, list) or not all(isinstance(item, str | int | float) for item in value):
        raise RowRefused(f"field {field!r} is not a list of texts")
    texts = [str(item).strip() for item in value]
    if not 2 <= len(texts) <= len(LETTERS):
        raise RowRefused(f"field {field!r} holds {len(texts)} options, not 2 to {len(LETTERS)}")
    bare = lettered_options("\n".join(texts))
    if list(bare) == list(LETTERS[: len(texts)]):
        texts = list(bare.values())
    if not all(texts):
        raise RowRefused(f"field {field!r} holds an empty option")
    return tuple(texts)


def _example(question: Question, row: Mapping[str, object]) -> Example:
    """Only the answer line: the files give no reasoning, and made-up reasoning would teach a habit."""
    return Example(render_question(question.text, question.options), f"Answer: {question.reference}")
