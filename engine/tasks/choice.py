"""The task type `choice`: multiple-choice questions, verified by the option letter that a reply commits to.

Options are part of the question's text (LogiQA) or are stored in separate fields. Independent of the source of the
questions and, apart from the answer format, of the prompts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from engine.tasks.answers.extraction import extract
from engine.tasks.base import Loaded, Question, Verification, worked_example
from engine.tasks.loading.fields import asked
from engine.tasks.loading.options import LETTERS, options_of, right_letter, same_option
from engine.tasks.loading.sources import load_local
from engine.tasks.task_kind import TaskType
from store.records import Split
from store.settings.tasks import ChoiceTask

_BARE = re.compile(r"[(\[]?([A-Ja-j])[)\]]?[.:)]?")
_LABELLED = re.compile(r"(?i:option|choice|letter|answer)\s+[(\[]?([A-Ja-j])[)\]]?[.:]?")
_OPENING = re.compile(
    r"(?:(?i:option|choice)\s+)?(?:[(\[]([A-Ja-j])[)\]][.:]?|([A-J])\)|([A-J])[.:,](?=\s)"
    r"|([A-J])(?=\s+[-–—=]|\s+(?i:because|since|as)\b))"
)
_EXPLAINED = re.compile(r"([A-J])\s*\((.+)\)[.]?", re.DOTALL)
_HEDGE = r"(?:also|maybe|perhaps|possibly|even|option)"
_OTHER = re.compile(rf"(?i:\b(?:and|or|nor|{_HEDGE})\b|[,/&])\s*(?i:{_HEDGE}\s+)*[(\[]?([A-J])\b[)\]]?(?!['’\w])")
_PHRASES = (
    re.compile(r"(?i)\b(?:correct|right|best|final|my)\s+(?:option|choice)\s+(?:is|must be|would be)\s*:?\s*"),
    re.compile(r"\bI(?:['’]ll|['’]d| will| would)?\s+(?:choose|pick|select|go (?:with|for))\s+"),
    re.compile(
        r"(?:\b(?i:option|choice)\s+)?(?<![\w'’])[(\[]?(?P<answer>[A-J])[)\]]?\s+(?:is|must be)\s+(?:the\s+)?"
        r"(?:(?:correct|right|best)\s+(?:answer|option|choice)|(?:correct|right)(?=\s*(?:[.!]|$)))",
        re.MULTILINE,
    ),
)
"""Phrases by which replies name an option without an answer marker; `option B is not correct` matches none."""


class Choice(TaskType[ChoiceTask]):
    """The task type `choice`."""

    kind: ClassVar[str] = "choice"

    def load(self, settings: ChoiceTask, base_dir: Path, seed: int) -> Loaded:
        """Load train, dev and test questions and worked examples. Raises TaskError if the source can't be used."""

        def question(row: Mapping[str, object], split: Split) -> Question:
            return _question(settings, row, split)

        return load_local(settings, base_dir, seed, question, worked_example)

    def verify(self, reply: str, reference: str, payload: Mapping[str, object]) -> Verification:
        """Verify a reply: correct if it names exactly one option and that is the reference.

        No option, or more than one, is incorrect: a reply that commits to no option is not an answer.
        """
        found = extract(reply, phrases=_PHRASES)
        if found.answer is None:
            return Verification("incorrect", None, "", None, "the reply marks no answer")
        options = payload.get("options")
        letter = single_letter(found.answer, options if isinstance(options, dict) else {})
        letters = str(payload.get("letters", LETTERS))
        if letter is None or letter not in letters:
            detail = f"not one letter of {letters}"
            return Verification("incorrect", found.answer, found.rule, None, detail)
        if letter == reference.upper():
            return Verification("correct", letter, found.rule, 1.0, "")
        return Verification("incorrect", letter, found.rule, 0.0, f"{letter} instead of {reference.upper()}")

    def format_instruction(self, settings: ChoiceTask) -> str:
        """Return the instruction on the answer format, the same for every choice task."""
        return "Finish with 'Answer:' and the letter of the right option."

    def option_count(self, options: Sequence[str], payload: Mapping[str, object]) -> int | None:
        """Return the number of options, stored apart or found in the text; None if their texts aren't known."""
        known = payload.get("options")
        return len(options) or (len(known) if isinstance(known, Mapping) else 0) or None


def single_letter(answer: str, options: Mapping[str, str]) -> str | None:
    """Return the single option that an answer names: `B`, `b`, `(B)`, `B. text`, `option B`, or an option's full text.

    `options` maps letters to the known texts. Returns None if the answer names no option or more than one.
    """
    for pattern in (_BARE, _LABELLED):
        if match := pattern.fullmatch(answer):
            return match.group(1).upper()
    named = [letter for letter, text in options.items() if same_option(answer, text)]
    if named:
        return named[0] if len(named) == 1 else None
    if (explained := _EXPLAINED.fullmatch(answer)) and explained.group(1) in options:
        return explained.group(1) if same_option(explained.group(2), options[explained.group(1)]) else None
    match = _OPENING.match(answer)
    if match is None:
        return None
    letter = next(group for group in match.groups() if group).upper()
    text = answer[match.end() :].strip(" -–—=")
    if letter in options and same_option(text, options[letter]):
        return letter
    if any(same_option(text, other) for other in options.values()):
        return None
    others = {other.group(1).upper() for other in _OTHER.finditer(answer, max(match.end() - 1, 0))}
    return None if others - {letter} else letter


def _question(settings: ChoiceTask, row: Mapping[str, object], split: Split) -> Question:
    text = asked(settings, row)
    options = options_of(settings, row, text)
    reference = right_letter(settings, row, options)
    return Question(
        task=settings.name,
        domain=settings.domain,
        split=split,
        text=text,
        options=options.listed,
        reference=reference,
        # Only the answer line: the datasets contain no reasoning, and invented reasoning would train a style.
        payload={"letters": options.letters, "options": dict(options.known), "worked": f"Answer: {reference}"},
    )
