r"""Reads the final answer out of a model's reply: tolerant about its form, strict about which answer it is.

The last marked answer wins, be it `Answer: x`, `\boxed{x}` or a last line `#### x`; without one, the last "the
answer is x"; without that, the last fenced block. A task type may add phrases of its own, and may take a reply of
one short line for the answer. Knows nothing of what a right answer is: that is the task type's part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

_MARKER = re.compile(
    r"(?im)\banswer\s*(?:\*\*|__)?\s*[:：=](?:\*\*|__)?|^[ \t]*#{1,6}[ \t]*(?:final[ \t]+)?answer[ \t]*$"
)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BARE_BOX = re.compile(r"\\boxed\s+(-?\w+)")
_BRACE = re.compile(r"\\[\s\S]|[{}]")
_HASHES = re.compile(r"(?m)^#{4}[ \t]*([-+$€£]*[\d.](?:[\d.,/ ]*[\d.%])?)[ \t]*\Z")
_PHRASE = re.compile(r"(?i)\b(?:answer|result|solution)\s+(?:is|must be|should be)\s*:?\s*(?:equal\s+to\s+)?")
_RESTATED = re.compile(
    r"(?is)(?:(?:so|thus|hence|therefore),?\s+)?(?:the|my)\s+(?:(?:final|correct|right|best)\s+){0,2}answer\s+"
    r"(?:is|must be|should be)\s*:?\s*(.+)"
)
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s|$)")
_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
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
    """What was read from a reply."""

    answer: str | None
    """The answer without markup around it; None when the reply holds no answer in a known form."""
    rule: str
    """`answer line`, `boxed`, `hash line`, `phrase`, `fence` or `whole reply`; empty when none matched."""
    raw: str | None
    """The answer as written, for verifiers to which markup or a final full stop matters."""


LONGEST_WHOLE_REPLY = 12
"""Most words of a reply that is taken as the answer without a mark."""


def extract(
    reply: str, *, multiline: bool = False, phrases: Sequence[re.Pattern[str]] = (), whole_reply: bool = False
) -> Extraction:
    """The final answer of a reply.

    Args:
        reply: the whole text.
        multiline: an answer line runs to the end of the reply.
        phrases: further patterns that count like "the answer is". What follows a match, to the end of its
            sentence, is the answer; or the pattern's group `answer`, where it has one.
        whole_reply: a reply of one line and at most `LONGEST_WHOLE_REPLY` words is the answer when nothing marks one.
    """
    marked = [*_answer_lines(reply, multiline), *_boxes(reply), *_hash_lines(reply)]
    if marked:
        _, rule, raw = max(marked)
        if restated := _RESTATED.fullmatch(raw):
            raw = restated.group(1)
    elif phrase := _last_phrase(reply, (_PHRASE, *phrases)):
        rule, raw = "phrase", phrase
    elif block := _last_fence(reply):
        rule, raw = "fence", block
    elif whole_reply and (line := _short_line(reply)):
        rule, raw = "whole reply", line
    else:
        return Extraction(None, "", None)
    return Extraction(cleaned(raw), rule, raw)


def cleaned(text: str) -> str:
    r"""The text without a final full stop and without the emphasis, quotes, `$…$` or `\text{}` around it."""
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
    """The decimal number a text is, without currency sign and thousands separators; None when it isn't one."""
    bare = _without_marks(cleaned(text)).strip()
    if not _DECIMAL.fullmatch(bare) or not any(character.isdigit() for character in bare):
        return None
    return Fraction(bare.replace(",", ""))


def number(text: str) -> Fraction | None:
    r"""As `plain_number`; also of a ratio, `3/4` or `\frac{3}{4}`, and of the right side of an equation."""
    bare = "".join(_without_marks(cleaned(text)).split()).rpartition("=")[2]
    ratio = _RATIO.fullmatch(bare)
    if ratio is None:
        return plain_number(bare)
    sign, above, below = (part for part in ratio.groups() if part is not None)
    return Fraction(int(above), int(below)) * (-1 if sign else 1) if int(below) else None


def _without_marks(text: str) -> str:
    r"""The text without dollar signs and LaTeX's thin spaces, `{,}` as a comma."""
    return text.replace("\\$", "").replace("$", "").replace("{,}", ",").replace("\\!", "")


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{}` with balanced braces, or None."""
    boxes = list(_boxes(text))
    return boxes[-1][2] if boxes else None


def lettered_options(text: str) -> dict[str, str]:
    """Options that stand in a text as lines `A. …` or `(A) …`, by letter. Empty when fewer than two are found."""
    options = {match.group(1): match.group(2) for match in _OPTION.finditer(text)}
    return dict(sorted(options.items())) if len(options) > 1 else {}


def _answer_lines(reply: str, multiline: bool) -> list[tuple[int, str, str]]:
    """Every marked answer as (position, rule, text). A marker that nothing follows marks no answer."""
    markers = list(_MARKER.finditer(reply))
    found = []
    for number, marker in enumerate(markers):
        end = markers[number + 1].start() if number + 1 < len(markers) else len(reply)
        rest = reply[marker.end() : end]
        if fence := _FENCE.match(rest.lstrip()):
            text = fence.group(1)
        elif multiline:
            text = rest.strip("\n")
        else:
            text = next((line for line in rest.split("\n") if line.strip(" \t\r*_")), "")
        if text.strip():
            found.append((marker.start(), "answer line", text.strip()))
    return found


def _boxes(text: str) -> list[tuple[int, str, str]]:
    """Every box with balanced braces as (position, rule, content), in order. One pass: models repeat themselves."""
    boxes = {match.end() - 1: match.start() for match in _BOXED.finditer(text)}
    found = [(match.start(), "boxed", match.group(1)) for match in _BARE_BOX.finditer(text)]
    opened: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace.group() == "{":
            opened.append(brace.start())
        elif brace.group() == "}" and opened:
            start = opened.pop()
            content = text[start + 1 : brace.start()].strip()
            if start in boxes and content:
                found.append((boxes[start], "boxed", content))
    return sorted(found)


def _hash_lines(reply: str) -> list[tuple[int, str, str]]:
    """A number after `####` as the last line, as GSM8K's solutions end; other headings mark nothing."""
    return [(match.start(), "hash line", match.group(1)) for match in _HASHES.finditer(reply.rstrip())]


def _last_phrase(reply: str, patterns: Sequence[re.Pattern[str]]) -> str:
    """What the last phrase names; empty when there is none. Of matches that end together the longest counts."""
    matches = [match for pattern in patterns for match in pattern.finditer(reply)]
    for match in sorted(matches, key=lambda found: (found.end(), -found.start()), reverse=True):
        if "answer" in match.re.groupindex:
            return match.group("answer")
        end = _SENTENCE_END.search(reply, match.end())
        text = reply[match.end() : end.start() if end else len(reply)].strip()
        if text:
            return text
    return ""


def _short_line(reply: str) -> str:
    line = reply.strip()
    return line if "\n" not in line and len(line.split()) <= LONGEST_WHOLE_REPLY else ""


def _last_fence(reply: str) -> str:
    blocks = [(match.start(), match.group(1)) for match in (*_FENCE.finditer(reply), *_INLINE_FENCE.finditer(reply))]
    return max(blocks, default=(0, ""))[1].strip()
