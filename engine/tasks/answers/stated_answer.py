r"""Detects reflections that state the reference answer: a number, an option or a text.

A policy trained on reflections that state the reference answer learns to give answers instead of reflections. The rule
depends on the form of the reference:

- a number: an equal quantity in any notation (`42`, `forty-two`, `50 %` for 1/2) occurs on its own in the reflection
  (not as "step 2" or "two mistakes") and in neither the question nor the attempt; or it is named as the answer ("the
  answer is 12", "should be 12", `\boxed{12}`), wherever else it occurs.
- a letter: it is named as the answer, or mentioned as an option ("option B", "(B)", a single capital letter other than
  A and I) while at most one other option is mentioned; the option is stated by its text or position; or all other
  options are excluded ("neither A nor C", "the other option" of two). See `stated_option`.
- any other text: it occurs between word boundaries, regardless of case and spacing, and in neither the question nor
  the attempt; or it is named as the answer. Texts below four characters without a digit (`No`) count only if named as
  the answer. A reference that is one of the options of the question, or one of a pair such as yes and no, is stated by
  its letter and by excluding the others too.

Programs have a separate rule in `stated_program`. Independent of training sets, caps and verdicts. Linear in the length
of the texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from engine.tasks.answers.extraction import cleaned, extract, lettered_options
from engine.tasks.answers.stated_option import OptionMarks, bare, states_option
from engine.tasks.answers.stated_quantities import is_followed_as_number, quantities
from engine.tasks.base import normalised

_SHORTEST_TELLING_TEXT = 4

_NAMING = (
    r"(?:\b(?:answer|result|solution|total|option|choice|letter|(?:correct|right|true|actual|final) "
    r"(?:value|number|count|sum|amount|probability|figure|share|fraction|percentage))\b(?:\s+\w+){0,2}?\s*"
    r"(?:\b(?:is|was|are|be|equals)\b|[:=])(?:\s+(?:actually|really|indeed|therefore|equal to|exactly))?|"
    r"\b(?:should|must)\s+(?:be|have\s+(?:been|answered|picked|chosen|selected)|equal)\b|\\boxed\{)\s*[\"'“‘(*`$\[{]*"
)
_NAMED = re.compile(rf"(?i){_NAMING}")
_NAMED_LETTER = re.compile(rf"(?:(?i:{_NAMING}))(?:([A-J])\b(?!['’])|([a-j])(?=\s*(?:[.,;:!)\"'”’*]|$)))", re.MULTILINE)
_MENTIONED_LETTER = re.compile(
    r"(?:(?i:\b(?:option|choice|letter)s?)|\banswer)\s+[\"'“‘(*]*([A-J])\b"
    r"|\b(?i:option|choice|letter)\s+([a-j])\b"
    r"|[\"'“‘(*`]([A-J])[\"'”’)*`]"
    r"|(?<![\w'’])([B-HJ])(?![\w'’])"
)
_NOTHING = re.compile(r"[€£¥ ]?")
_COMPUTATION = re.compile(
    r"(\d{1,20}(?:\.\d{1,20})?) ?([-+−*×·/÷]|\\times|\\cdot|x|plus|minus|times|"
    r"divided by) ?(\d{1,20}(?:\.\d{1,20})?)(?![\d.]\d)"
)
_SPELLED = re.compile(
    r"(?<![\w.-])[A-Za-z](?:-[A-Za-z]){2,30}(?![\w-])|(?<![\w.-])[A-Za-z](?:\.[A-Za-z]){2,30}(?![\w-])"
)
"""A word spelled letter by letter, such as H-O-R-S-E."""
_NAME_OF_TWO = re.compile(r"([A-Z][\w'’-]+) ([A-Z][\w'’-]+)")
_UNIT = re.compile(r"(?: ?(?:°|[A-Za-z]{1,12}\.?)(?: [a-z]{1,12})?)?")
_LISTED = re.compile(r"(?m)^[ \t]*[-*•][ \t]+(\S.{0,79})$")
_OPPOSITES: tuple[tuple[str, str], ...] = (
    ("yes", "no"),
    ("true", "false"),
    ("valid", "invalid"),
    ("plausible", "implausible"),
    ("correct", "incorrect"),
    ("possible", "impossible"),
    ("positive", "negative"),
    ("heads", "tails"),
    ("even", "odd"),
    ("entailment", "non-entailment"),
)
"""Answers of questions without listed options that have one other answer."""
_OF_ATTEMPTS = frozenset({"correct", "incorrect"})
"""Answers that reflections use of the attempt: "my answer is incorrect" does not state them."""
_SUBJECT = r"\b(?:statement|claim|proposition|argument|sentence|hypothesis|expression|formula|deduction|inference)\b"


def states_reference(text: str, *, reference: str, question_text: str, attempt_text: str) -> bool:
    """Check whether a text states the reference answer, by the rules of this module.

    Args:
        text: the reflection.
        reference: the reference answer.
        question_text: the rendered question, with its options.
        attempt_text: the attempt that is reflected on.
    """
    wanted = cleaned(reference)
    if not wanted:
        return False
    text, question, attempt = (_collapsed(one) for one in (text, question_text, attempt_text))
    text = _SPELLED.sub(lambda match: re.sub(r"[-.]", "", match.group()), text)
    options = lettered_options(question)
    letter = _letter_of(wanted, options)
    if letter is not None:
        if re.fullmatch(r"[A-Ja-j]", wanted) is None and _states_value(text, wanted, question, attempt):
            return True
        return _states_letter(text, letter, options, question, attempt)
    return _states_value(text, wanted, question, attempt) or _excludes_others(text, wanted, question, attempt)


def _collapsed(text: str) -> str:
    """Collapse runs of blanks and of newlines, so that the patterns of these rules take linear time."""
    return re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", text))).strip()


def _letter_of(reference: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of a reference: its own, or that of the option with its text."""
    if re.fullmatch(r"[A-Ja-j]", reference):
        return reference.upper()
    found = [letter for letter, option in options.items() if normalised(bare(option)) == normalised(bare(reference))]
    return found[0] if len(found) == 1 else None


def _states_value(text: str, reference: str, question: str, attempt: str) -> bool:
    values = _values_of(reference)
    if values:
        return _states_number(text, values, question, attempt)
    return _states_text(text, reference, question, attempt)


def _values_of(reference: str) -> frozenset[Fraction]:
    """Return the values of a reference that is a number, possibly with a unit; none for any other text."""
    plain = _collapsed(reference.replace("\\$", "").replace("$", "").replace("{,}", ",").replace("\\!", ""))
    for found in quantities(plain, plain):
        around = plain[: found.start], plain[found.end :]
        return found.values if _NOTHING.fullmatch(around[0]) and _UNIT.fullmatch(around[1]) else frozenset()
    return frozenset()


def _states_number(text: str, wanted: frozenset[Fraction], question: str, attempt: str) -> bool:
    places = {match.end() for match in _NAMED.finditer(text)}
    mentioned: list[bool] = []
    for found in quantities(text.replace("−", "-"), question):
        if not found.values & wanted:
            continue
        if found.start in places and (not found.spelled or found.stated or is_followed_as_number(text, found.end)):
            return True
        if found.stated:
            mentioned.append(found.spelled)
    if wanted & {_computed(match) for place in places for match in [_COMPUTATION.match(text, place)] if match}:
        return True
    if not mentioned:
        return False
    known = [found for other in (question, attempt) for found in quantities(other, question) if found.values & wanted]
    in_numerals = any(not found.spelled for found in known)
    # A numeral is new to the reader of a question that contains the same number only as a word such as "one".
    return not known if all(mentioned) else not in_numerals


def _computed(match: re.Match[str]) -> Fraction | None:
    """Return the value of a computation with two numbers; None for a division by zero."""
    one, operation, other = Fraction(match.group(1)), match.group(2), Fraction(match.group(3))
    if operation in ("+", "plus"):
        return one + other
    if operation in ("-", "−", "minus"):
        return one - other
    if operation in ("/", "÷", "divided by"):
        return one / other if other else None
    return one * other


def _states_letter(text: str, letter: str, options: Mapping[str, str], question: str, attempt: str) -> bool:
    if letter in _letters(_NAMED_LETTER, text):
        return True
    mentioned = _letters(_MENTIONED_LETTER, text)
    if letter in mentioned and len(mentioned) <= 2:
        marks = OptionMarks(text, options)
        if letter not in marks.excluded() and not (len(options) == 2 and marks.weighs_all()):
            return True
    option = bare(options.get(letter, ""))
    if not option:
        return False
    stem = "\n".join(line for line in question.split("\n") if not lettered_line(line))
    if values := _values_of(option):
        others = [other for other in options if other != letter and _occurs(bare(options[other]), text)]
        return len(others) <= 1 and _states_number(text, values, stem, attempt)
    others = [bare(other) for name, other in options.items() if name != letter]
    opposed = len(others) == 1 and _opposite(option) == normalised(others[0])
    if opposed and (_asserts(option, text) or _denies(others[0], text)):
        return True
    attempted = _attempted(attempt, options)
    return _is_named(option, text) or states_option(
        text, letter, options, stem=stem, attempt_text=attempt, attempted=attempted
    )


def lettered_line(line: str) -> bool:
    """Check whether a line of a question is one of its options."""
    return re.match(r"\(?[A-J][.)．、] ?\S", line.strip()) is not None


def _attempted(attempt: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of the option that an attempt answers with a marked answer, or None."""
    answer = extract(attempt).answer
    if answer is None:
        return None
    match = re.fullmatch(r"\(?([A-Ja-j])\)?(?:[.):].*)?", answer)
    return match.group(1).upper() if match else _letter_of(answer, options)


def _letters(pattern: re.Pattern[str], text: str) -> set[str]:
    return {next(group for group in match.groups() if group).upper() for match in pattern.finditer(text)}


def _states_text(text: str, reference: str, question: str, attempt: str) -> bool:
    if _opposite(reference) is not None:
        named = normalised(reference) not in _OF_ATTEMPTS and _is_named(reference, text)
        return named or _asserts(reference, text)
    for form in _forms(reference):
        if _is_named(form, text):
            return True
        telling = len(form) >= _SHORTEST_TELLING_TEXT or any(character.isdigit() for character in form)
        if telling and _occurs(form, text) and not any(_occurs(form, other) for other in (question, attempt)):
            return True
    return False


def _excludes_others(text: str, reference: str, question: str, attempt: str) -> bool:
    """Check whether the text excludes every answer but the reference, where the question has a known set of answers."""
    listed = _listed_answers(question)
    other = _opposite(reference)
    if len(listed) < 2 or normalised(reference) not in map(normalised, listed):
        if other is None:
            return False
        listed = [reference, other]
    letters = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", listed, strict=False))
    letter = next((name for name, one in letters.items() if normalised(one) == normalised(reference)), None)
    if letter is None:
        return False
    if other is not None and len(letters) == 2 and _denies(other, text):
        return True
    if normalised(reference) in _OF_ATTEMPTS:
        return False
    attempted = _letter_of(extract(attempt).answer or "", letters)
    # Letters are no names of these options, so that only their texts count.
    unlettered = re.sub(r"(?<![\w'’])[B-HJ-Z](?![\w'’])", " ", text)
    return states_option(unlettered, letter, letters, stem=question, attempt_text=attempt, attempted=attempted)


def _listed_answers(question: str) -> list[str]:
    """Return the options that a question lists without letters, as lines that begin with a dash."""
    return [match.group(1).strip() for match in _LISTED.finditer(question)]


def _opposite(reference: str) -> str | None:
    """Return the only other answer of a question that is answered by one of two opposites."""
    wanted = normalised(reference)
    for one, other in _OPPOSITES:
        if wanted in (one, other):
            return other if wanted == one else one
    return None


def _asserts(answer: str, text: str) -> bool:
    """Check whether a text asserts an answer such as `invalid` of what was asked: "the argument is invalid"."""
    said = re.escape(normalised(answer))
    subject = _SUBJECT if normalised(answer) in _OF_ATTEMPTS else rf"(?:{_SUBJECT}|\b(?:it|this|that)\b)"
    return (
        re.search(rf"{subject} (?:is|was|must be|should be) {said}(?= ?(?:[.,;:!?)]|$)| because| since)", _plain(text))
        is not None
    )


def _denies(other: str, text: str) -> bool:
    """Check whether a text denies the other answer of two: "the answer is not yes", "the argument is not valid"."""
    said = rf"[\"'“‘]?{re.escape(normalised(other))}[\"'”’]?"
    subject = rf"{_SUBJECT} " if normalised(other) in _OF_ATTEMPTS else rf"(?:\banswer\b |{_SUBJECT} |\b(?:it|this) )"
    named = (
        rf"{subject}"
        r"(?:is not|isn['’]t|was not|wasn['’]t|cannot be|can['’]t be|should not be|shouldn['’]t be|must not be|"
        r"could not be|couldn['’]t be|should not have been|shouldn['’]t have been|can not be)"
    )
    plain = _plain(text)
    return (
        re.search(rf"{named} {said}(?= ?(?:[.,;:!?)]|$)| because| since| but)", plain) is not None
        or re.search(
            rf"(?<!\w){said} (?:is|was) (?:wrong|incorrect|not (?:correct|right|the (?:right |correct )?answer))", plain
        )
        is not None
    )


def _plain(text: str) -> str:
    return normalised(text)


def _forms(reference: str) -> tuple[str, ...]:
    """Return the notations of a reference: unchanged, and for a LaTeX fraction also `a/b`."""
    if name := _NAME_OF_TWO.fullmatch(reference):
        return (reference, f"{name.group(2)}, {name.group(1)}")
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
