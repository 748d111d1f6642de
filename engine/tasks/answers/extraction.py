r"""Extracts the final answer from a model's reply: tolerant of its form, strict about which answer counts.

The last statement of an answer counts: `Answer: x`, `\boxed{x}`, `<answer>x</answer>`, a last line `#### x`, "the
answer is x" or a correction of it. Without one, "the result is x"; without that, the last fenced block. A task type
may add phrases, and may accept a reply of one short line as the answer. Thoughts are no part of the reply. Does not
decide whether an answer is correct, which is up to the task type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from engine.tasks.answers.block_layout import in_one_line
from engine.tasks.answers.statements import (
    Statement,
    boxes,
    ends_in_statement,
    last_retraction,
    marked,
    strong_phrases,
    weak_phrases,
)
from engine.tasks.answers.thoughts import without_thoughts

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_UNSURE = re.compile(
    r"(?i)(?:i\s+(?:think|guess|believe|suppose|would)|maybe|perhaps|probably|possibly|not sure|is|are)\b"
)
"""Beginnings of a short reply that does not commit to an answer."""

_CONCLUDING = re.compile(r"(?i)[*_]{0,3}(?:so|therefore|thus|hence|in total|in conclusion|finally|overall)\b")
_INLINE_FENCE = re.compile(r"```([^\n`]+)```")
_DECIMAL = re.compile(r"[-+]?(?:\d+(?:,\d{3})+|\d+)?(?:\.\d+)?")
_RATIO = re.compile(r"(-?)\\[dt]?frac\{?(\d+)\}?\{?(\d+)\}?|(-?)(\d+)/(\d+)")
_OPTION = re.compile(r"^[ \t]*\(?([A-J])[.)．、][ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_PAIRS = (
    ("**", "**"),
    ("__", "__"),
    ("`", "`"),
    ("$$", "$$"),
    ("$", "$"),
    ("\\(", "\\)"),
    ("\\[", "\\]"),
    ("<", ">"),
    ('"', '"'),
    ("'", "'"),
    ("“", "”"),
    ("‘", "’"),
    ("*", "*"),
)


class Extraction(NamedTuple):
    """The result of extracting an answer from a reply."""

    answer: str | None
    """The answer without surrounding markup; None if the reply contains no answer in a known form."""
    rule: str
    """`answer line`, `answer tag`, `boxed`, `hash line`, `phrase`, `fence`, `whole reply` or `last line`; empty if none
    matched."""
    raw: str | None
    """The answer as written, for verifiers that depend on markup or a final full stop."""


LONGEST_WHOLE_REPLY = 12
"""Maximum number of words of a reply that counts as the answer without an answer marker."""


def extract(
    reply: str,
    *,
    multiline: bool = False,
    phrases: Sequence[re.Pattern[str]] = (),
    whole_reply: bool = False,
    letter_mark: bool = False,
    accepts: Callable[[str], bool] | None = None,
) -> Extraction:
    """Extract the final answer of a reply.

    Args:
        reply: the complete text.
        multiline: let an answer line extend to the end of the reply.
        phrases: further patterns that are treated like "the answer is". The answer is the text between a match and the
            end of its sentence, or the pattern's group `answer`, if it has one.
        whole_reply: accept a reply of one line and at most `LONGEST_WHOLE_REPLY` words as the answer if none is
        marked, or a
            last line of that length that begins as a conclusion ("So …").
        letter_mark: accept `A: 12` as a marked answer.
        accepts: predicate on the text after a phrase. A phrase replaces an earlier answer only if it accepts the text,
            and an accepted phrase is preferred to others.
    """
    text = without_thoughts(reply)
    if not multiline:
        text = in_one_line(text)
    statement = _last_statement(text, multiline, phrases, letter_mark, accepts)
    if statement is not None:
        return Extraction(cleaned(statement.text), statement.rule, statement.text)
    if block := _last_fence(text):
        return Extraction(cleaned(block), "fence", block)
    if whole_reply and (line := _short_line(text)):
        return Extraction(cleaned(line), "whole reply", line)
    if whole_reply and (line := _conclusion(text)):
        return Extraction(cleaned(line), "last line", line)
    return Extraction(None, "", None)


def ends_in_answer(reply: str) -> bool:
    """Check whether a reply ends inside its answer, so that a limit on its tokens may have cut the answer."""
    return ends_in_statement(in_one_line(without_thoughts(reply)))


def _last_statement(
    text: str,
    multiline: bool,
    phrases: Sequence[re.Pattern[str]],
    letter_mark: bool,
    accepts: Callable[[str], bool] | None,
) -> Statement | None:
    """Return the last statement that commits to an answer; None if there is none or all of them are retracted."""
    marks = marked(text, multiline=multiline, letter_mark=letter_mark)
    mark = marks[-1] if marks else None
    retracted = last_retraction(text)
    first: Statement | None = None
    for phrase in strong_phrases(text, phrases):
        if mark is not None and phrase.start < mark.start:
            break
        if phrase.start < retracted:
            break
        if mark is not None and phrase.aside:
            continue
        if accepts is not None and not accepts(phrase.text):
            first = first or phrase
            continue
        if phrase.aside:
            first = phrase if first is None or not first.aside else first
            continue
        inside = mark is not None and mark.rule == "answer line" and phrase.end <= mark.end
        return phrase._replace(rule="answer line") if inside else phrase
    if mark is not None:
        return mark if mark.start >= retracted or mark.end > retracted else None
    if first is not None:
        return first
    return next((weak for weak in weak_phrases(text) if weak.start >= retracted and not weak.aside), None)


def cleaned(text: str) -> str:
    r"""Strip a final full stop and any surrounding emphasis, quotes, `$…$` or `\text{}` from a text."""
    current = text.strip()
    while True:
        shorter = current
        if match := re.fullmatch(r"\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}", shorter):
            shorter = match.group(1)
        for opening, closing in _PAIRS:
            inner = shorter[len(opening) : len(shorter) - len(closing)]
            wrapped = shorter.startswith(opening) and shorter.endswith(closing)
            if wrapped and inner.strip() and opening not in inner and closing not in inner:
                shorter = inner.strip()
        if shorter.count("**") == 1:
            shorter = shorter.removeprefix("**").removesuffix("**")
        if len(shorter) > 1 and shorter.endswith(".") and not shorter.endswith(".."):
            shorter = shorter[:-1]
        shorter = shorter.strip()
        if shorter == current:
            return current
        current = shorter


def plain_number(text: str) -> Fraction | None:
    """Parse a decimal number, ignoring a currency sign and thousands separators; None if the text is not one."""
    bare = _without_marks(cleaned(text)).strip()
    if not _DECIMAL.fullmatch(bare) or not any(character.isdigit() for character in bare):
        return None
    return Fraction(bare.replace(",", ""))


def number(text: str) -> Fraction | None:
    r"""Parse a number as `plain_number` does, also from a ratio (`3/4`, `\frac{3}{4}`) or an equation's right side."""
    bare = "".join(_without_marks(cleaned(text)).split()).rpartition("=")[2]
    ratio = _RATIO.fullmatch(bare)
    if ratio is None:
        return plain_number(bare)
    sign, above, below = (part for part in ratio.groups() if part is not None)
    return Fraction(int(above), int(below)) * (-1 if sign else 1) if int(below) else None


def _without_marks(text: str) -> str:
    r"""Remove dollar signs and LaTeX's thin spaces, and replace `{,}` by a comma."""
    return text.replace("\\$", "").replace("$", "").replace("{,}", ",").replace("\\!", "")


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{}` with balanced braces, or None."""
    found = boxes(text)
    return found[-1].text if found else None


def lettered_options(text: str) -> dict[str, str]:
    """Return the options written in a text as lines `A. …` or `(A) …`, by letter; empty if there are fewer than two."""
    options = {match.group(1): match.group(2) for match in _OPTION.finditer(text)}
    return dict(sorted(options.items())) if len(options) > 1 else {}


def _short_line(reply: str) -> str:
    line = reply.strip()
    if _UNSURE.match(line):
        return ""
    return line if "\n" not in line and len(line.split()) <= LONGEST_WHOLE_REPLY else ""


def _conclusion(reply: str) -> str:
    """Return the last line if it is a short conclusion, such as "So there are 68 legs in total."."""
    line = reply.strip().rpartition("\n")[2].strip()
    return line if _CONCLUDING.match(line) and len(line.split()) <= LONGEST_WHOLE_REPLY else ""


def _last_fence(reply: str) -> str:
    blocks = [(match.start(), match.group(1)) for match in (*_FENCE.finditer(reply), *_INLINE_FENCE.finditer(reply))]
    return max(blocks, default=(0, ""))[1].strip()
