r"""Detects reflections that state the reference answer: a number, a letter or a text.

A policy trained on reflections that state the reference answer learns to give answers instead of reflections. The rule
depends on the form of the reference:

- a number: the same number occurs on its own in the reflection (not as "step 2" or as "2." of a list) and in neither
  the question nor the attempt; or it is named as the answer ("the answer is 12", "should be 12", `\boxed{12}`),
  wherever else it occurs.
- a letter: it is named as the answer, or mentioned as an option ("option B", "(B)", a single capital letter other than
  A and I) while at most one other option is mentioned; or the full text of that option is quoted.
- any other text: it occurs between word boundaries, regardless of case and spacing, and in neither the question nor
  the attempt; or it is named as the answer. Texts below four characters without a digit (`No`) count only if named as
  the answer.

Programs have a separate rule in `stated_program`. Independent of training sets, caps and verdicts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction

from engine.tasks.answers.extraction import cleaned, lettered_options, plain_number
from engine.tasks.base import normalised

_SHORTEST_TELLING_TEXT = 4
_SHORTEST_TELLING_OPTION = 12

_NUMBER = re.compile(r"(?:(?<![\w)\]}])-)?(?<![\w.])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w|\.\d|,\d{3})")
_LABEL = re.compile(r"(?im)^\s*\(?\d+[.):]\s|\b(?:step|line|part|point|stage|sentence|word|term|equation)s?\s+\d+\b")
_NAMING = (
    r"(?:\b(?:answer|result|solution|total|option|choice|letter)\b(?:\s+\w+){0,2}?\s*"
    r"(?:\b(?:is|was|are|be|equals)\b|[:=])(?:\s+(?:actually|really|indeed|therefore))?|"
    r"\b(?:should|must)\s+(?:be|have\s+been)\b|\\boxed\{)\s*[\"'“‘(*`$\[{]*"
)
_NAMED_NUMBER = re.compile(rf"(?i){_NAMING}(-?\d+(?:,\d{{3}})*(?:\.\d+)?)(?!\w|\.\d|,\d{{3}})")
_NAMED_LETTER = re.compile(rf"(?:(?i:{_NAMING}))(?:([A-J])\b(?!['’])|([a-j])(?=\s*(?:[.,;:!)\"'”’*]|$)))", re.MULTILINE)
_MENTIONED_LETTER = re.compile(
    r"(?:(?i:\b(?:option|choice|letter)s?)|\banswer)\s+[\"'“‘(*]*([A-J])\b"
    r"|\b(?i:option|choice|letter)\s+([a-j])\b"
    r"|[\"'“‘(*`]([A-J])[\"'”’)*`]"
    r"|(?<![\w'’])([B-HJ])(?![\w'’])"
)


def states_reference(text: str, *, reference: str, question_text: str, attempt_text: str) -> bool:
    """Check whether a text states the reference answer, by the rules of this module.

    Args:
        text: the reflection.
        reference: the reference answer.
        question_text: the rendered question, with its options.
        attempt_text: the attempt that is reflected on.
    """
    bare = cleaned(reference)
    if not bare:
        return False
    if re.fullmatch(r"[A-Ja-j]", bare):
        return _states_letter(text, bare.upper(), lettered_options(question_text).get(bare.upper(), ""))
    if (value := plain_number(bare)) is not None:
        return _states_number(text, value, (question_text, attempt_text))
    return _states_text(text, bare, (question_text, attempt_text))


def _states_number(text: str, value: Fraction, known: Iterable[str]) -> bool:
    named = {plain_number(match.group(1)) for match in _NAMED_NUMBER.finditer(text)}
    if value in named:
        return True
    return value in _numbers(text) and not any(value in _numbers(other) for other in known)


def _numbers(text: str) -> set[Fraction]:
    """Return the numbers that occur on their own in a text, without those that number its steps."""
    unlabelled = _LABEL.sub(" ", text.replace("−", "-"))
    values = (plain_number(match.group()) for match in _NUMBER.finditer(unlabelled))
    return {value for value in values if value is not None}


def _states_letter(text: str, letter: str, option: str) -> bool:
    if letter in _letters(_NAMED_LETTER, text):
        return True
    mentioned = _letters(_MENTIONED_LETTER, text)
    if letter in mentioned and len(mentioned) <= 2:
        return True
    if len(option) >= _SHORTEST_TELLING_OPTION and _occurs(cleaned(option), text):
        return True
    return bool(option) and _is_named(cleaned(option), text)


def _letters(pattern: re.Pattern[str], text: str) -> set[str]:
    return {next(group for group in match.groups() if group).upper() for match in pattern.finditer(text)}


def _states_text(text: str, reference: str, known: Iterable[str]) -> bool:
    for form in _forms(reference):
        if _is_named(form, text):
            return True
        telling = len(form) >= _SHORTEST_TELLING_TEXT or any(character.isdigit() for character in form)
        if telling and _occurs(form, text) and not any(_occurs(form, other) for other in known):
            return True
    return False


def _forms(reference: str) -> tuple[str, ...]:
    """Return the notations of a reference: unchanged, and for a LaTeX fraction also `a/b`."""
    plain = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2", reference)
    return (reference,) if plain == reference else (reference, plain)


def _occurs(part: str, text: str) -> bool:
    return _found("", part, text)


def _is_named(part: str, text: str) -> bool:
    return _found(_NAMING, part, text)


def _found(before: str, part: str, text: str) -> bool:
    """Check whether a part occurs in a text between word boundaries, preceded by a match of `before`."""
    part, text = normalised(part), normalised(text)
    # Most parts do not occur at all, and compiling a pattern costs a hundred times more than a substring search.
    return part in text and re.search(rf"{before}(?<!\w){re.escape(part)}(?!\w)", text) is not None
