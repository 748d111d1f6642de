r"""Extracts the final answer from a model's reply: tolerant of its form, strict about which answer counts.

The last marked answer counts, written as `Answer: x`, `\boxed{x}` or a last line `#### x`; without one, the last "the
answer is x"; without that, the last fenced block. A task type may add phrases, and may accept a reply of one short line
as the answer. Does not decide whether an answer is correct, which is up to the task type.
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
    """The result of extracting an answer from a reply."""

    answer: str | None
    """The answer without surrounding markup; None if the reply contains no answer in a known form."""
    rule: str
    """`answer line`, `boxed`, `hash line`, `phrase`, `fence` or `whole reply`; empty if none matched."""
    raw: str | None
    """The answer as written, for verifiers that depend on markup or a final full stop."""


LONGEST_WHOLE_REPLY = 12
"""Maximum number of words of a reply that counts as the answer without an answer marker."""


def extract(
    reply: str, *, multiline: bool = False, phrases: Sequence[re.Pattern[str]] = (), whole_reply: bool = False
) -> Extraction:
    """Extract the final answer of a reply.

    Args:
        reply: the complete text.
        multiline: let an answer line extend to the end of the reply.
        phrases: further patterns that are treated like "the answer is". The answer is the text between a match and the
            end of its sentence, or the pattern's group `answer`, if it has one.
        whole_reply: accept a reply of one line and at most `LONGEST_WHOLE_REPLY` words as the answer if none is marked.
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
    boxes = list(_boxes(text))
    return boxes[-1][2] if boxes else None


def lettered_options(text: str) -> dict[str, str]:
    """Return the options written in a text as lines `A. …` or `(A) …`, by letter; empty if there are fewer than two."""
    options = {match.group(1): match.group(2) for match in _OPTION.finditer(text)}
    return dict(sorted(options.items())) if len(options) > 1 else {}


def _answer_lines(reply: str, multiline: bool) -> list[tuple[int, str, str]]:
    """Return every marked answer as (position, rule, text). A marker without text after it is ignored."""
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
    """Return every box with balanced braces as (position, rule, content), in order.

    A single pass, because looping replies contain thousands of boxes.
    """
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
    """Return a number after `####` on the last line, as in GSM8K's solutions; other headings are no answers."""
    return [(match.start(), "hash line", match.group(1)) for match in _HASHES.finditer(reply.rstrip())]


def _last_phrase(reply: str, patterns: Sequence[re.Pattern[str]]) -> str:
    """Return the answer after the last phrase; empty if there is none. The longest match with the same end counts."""
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
