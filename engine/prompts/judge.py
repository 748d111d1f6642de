"""What a judge of Dpref is asked, and how its reply is read.

Pure and versioned. No function here takes a reference answer, hence a judge sees none: it ranks reflections as
diagnoses, not by what they led to. The two reflections are A and B by position only, and every pair is asked in both
orders. The wording is our own.
"""

from __future__ import annotations

import re
from typing import Literal

from engine.prompts.rollout import Message

JUDGE_PROMPT_VERSION = "1"
"""Goes up with every change of wording or layout."""

REPLY_FORM = "Better: A"
"""How the reply is asked for, with B for the other one."""

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
    """The question to a judge: which of two reflections on an attempt is better.

    Args:
        question: the question as asked, with its options.
        attempt: the attempt that both reflect on.
        first: the reflection shown as A.
        second: the reflection shown as B.
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
    """Which one a reply names, or None when it names neither or both.

    Tolerant about form: a marked choice (`Better: B`, `**Answer:** A`) counts, the last of several; without one a reply
    that is nothing but the letter, a last line that is, or "Reflection B is better".
    """
    # A model that repeats the request has chosen nothing.
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
