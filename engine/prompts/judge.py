"""Prompts for the judge of Dpref, and the parser of its replies.

Pure and versioned. No function here takes a reference answer, hence a judge sees none: it ranks reflections as
diagnoses, not by the corrections they led to. The two reflections are A and B by position only, and every pair is
ranked in both orders. The wording is our own.
"""

from __future__ import annotations

import re
from typing import Literal

from engine.prompts.rollout import Message

JUDGE_PROMPT_VERSION = "1"
"""Increased with every change of wording or layout."""

REPLY_FORM = "Better: A"
"""Requested form of the reply, with B for the second reflection."""

_EMPTY = "(nothing)"
_TASK = (
    "A student answered the question below wrongly and then wrote two reflections on that attempt. Which one is the "
    "better reflection? The better one names what really went wrong in this attempt, gives a plan that fits this "
    "question, is true and clear, and does not merely state an answer. Length does not count."
)
_REPLY = f"End your reply with one line, either '{REPLY_FORM}' or 'Better: B'. There are no ties."
_THOUGHT = re.compile(r"(?s)<think>.*?(?:</think>|\Z)")
_LETTER = r"(?:reflection\s+)?[*_`\"'(\[<{]*\s*(?:reflection\s+)?([AB])\b"
_MARKED = re.compile(
    rf"(?i)\b(?:better(?:\s+(?:one|reflection))?|answer|verdict|winner|choice|preferred)\b"
    rf"[*_`]*\s*(?::|=|\bis\b)\s*{_LETTER}(?=[*_`\"')\]>}}]*\s*(?:$|[.,;:!–—-]|because\b|since\b))",
    re.MULTILINE,
)
_ALONE = re.compile(r"(?i)[\s*_`\"'(\[<{]*(?:reflection\s+)?([AB])[\s*_`\"')\]>}.:!]*")
_WINS = re.compile(
    r"(?i)\breflection\s+[*_`\"'(\[]*([AB])[*_`\"')\]]*\s+(?:is|seems|looks)\s+(?:the\s+)?(?:clearly\s+|much\s+|slightly\s+)?"
    r"(?:better|best|stronger|preferable)\b"
)


def judge_messages(question: str, attempt: str, first: str, second: str) -> tuple[Message, ...]:
    """Return the prompt that asks a judge which of two reflections on an attempt is better.

    Args:
        question: The question as in the attempt's prompt, with its options.
        attempt: The attempt that both reflect on.
        first: The reflection shown as A.
        second: The reflection shown as B.
    """
    parts = (
        _TASK,
        f"Question:\n{question.strip()}",
        f"Wrong attempt:\n{attempt.strip() or _EMPTY}",
        f"Reflection A:\n{first.strip() or _EMPTY}",
        f"Reflection B:\n{second.strip() or _EMPTY}",
        _REPLY,
    )
    return ({"role": "user", "content": "\n\n".join(parts)},)


def parse_choice(reply: str) -> Literal["A", "B"] | None:
    """Return the choice stated in a reply, or None when it states neither or both.

    Tolerant about form: the last marked choice counts (`Better: B`, `**Answer:** A`); without one, a reply or last line
    that consists of the letter alone, or "Reflection B is better".
    """
    # A reply that repeats the request contains no choice.
    text = _THOUGHT.sub("", reply).replace(_REPLY, "").strip()
    marked = _MARKED.findall(text)
    if marked:
        return _letter(marked[-1])
    for part in (text, text.splitlines()[-1] if text else ""):
        if alone := _ALONE.fullmatch(part):
            return _letter(alone.group(1))
    said = {_letter(letter) for letter in _WINS.findall(text)}
    return said.pop() if len(said) == 1 else None


def _letter(found: str) -> Literal["A", "B"]:
    return "A" if found.upper() == "A" else "B"
