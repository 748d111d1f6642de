"""The task type `choice`: multiple-choice questions, verified by the option letter that a reply commits to.

Options are part of the question's text (LogiQA) or are stored in separate fields. Independent of the source of the
questions and, apart from the answer format, of the prompts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from engine.tasks.answers.extraction import Extraction, cleaned, extract
from engine.tasks.answers.option_letter import single_letter
from engine.tasks.answers.remarks import without_lead
from engine.tasks.answers.thoughts import without_thoughts
from engine.tasks.base import NO_ANSWER, Loaded, Question, Verification, worked_example
from engine.tasks.loading.fields import asked
from engine.tasks.loading.options import LETTERS, options_of, right_letter
from engine.tasks.loading.sources import load_local
from engine.tasks.task_kind import TaskType
from store.records import Split
from store.settings.tasks import ChoiceTask

_ALONE = "".join(
    rf"(?<![A-J]{joint})"
    for joint in (
        ", ",
        " and ",
        " or ",
        " nor ",
        ", and ",
        ", or ",
        "/",
        " & ",
        r"\) and ",
        r"\) or ",
        r"\) nor ",
        r"\), ",
    )
)
"""No further letter in front of the one that a phrase names: `A or B is correct` commits to neither."""

_LETTER = r"[\"'“‘*]{0,3}[(\[]?(?P<answer>[A-J])[)\]]?[\"'”’*]{0,3}"
_RIGHT = (
    r"\s+(?:alone\s+)?(?:is|must be|seems|has to be)\s+(?:clearly\s+|therefore\s+|indeed\s+|definitely\s+)?(?:the\s+)?"
    r"(?:(?:only\s+|most\s+)?(?:correct|right|best|appropriate|accurate|likely)\s+(?:answer|option|choice|one)|"
    r"(?:correct|right)(?=\s*(?:[.!,;)]|$|\n)|\s+(?:because|since|as)\b))"
)
_PHRASES = (
    re.compile(
        r"(?i)\b(?:correct|right|best|final|my|only)\s+(?:option|choice|letter"
        r"|pick)\s+(?:\w{1,12}\s+)?(?:is|must be|would be)"
        r"(?=\W)\s*:?\s*"
    ),
    re.compile(
        r"\b(?:I|[Ww]e)(?:['’]ll|['’]d| will| would|['’]m going to)?\s+(?:have to\s+|must\s+)?"
        r"(?:choose|pick|select|chose|go (?:with|for)|going with|settle on)\s+"
    ),
    re.compile(
        r"(?i)\b(?:so|thus|therefore|hence|which means|then)\s*,?\s+(?:it|this)\s+(?:must|has to"
        r"|can only)\s+be\s+"
    ),
    re.compile(
        r"(?i)\b(?:which\s+|that\s+)?(?:leaves|leaving)\s+(?:us\s+)?(?:with\s+)?(?:only\s+)?(?=(?-i:[(\[]?[A-J]\b|option))"
    ),
    re.compile(
        r"(?i)\bonly\s+(?:remaining\s+|possible\s+)?(?:option|choice|possibility|answer|one)(?:\s+(?:left|remaining"
        r"|that\s+(?:remains|is left)))?\s+is\s+"
    ),
    re.compile(r"\b[Gg]oing\s+with\s+"),
    re.compile(rf"\b(?i:so|thus|therefore|hence)\s?[,:]?\s+{_LETTER}[ \t]*[.!]?[ \t*_]*(?=\s*\Z)"),
    re.compile(rf"(?=[\"'“‘*(\[A-J]){_ALONE}(?<![\w'’]){_LETTER}{_RIGHT}", re.MULTILINE),
    re.compile(
        r"(?=[ocOC])"
        + _ALONE
        + r"\b(?i:option|choice)\s+[\"'“‘*(\[]{0,4}(?P<answer>[A-Ja-j])[)\]\"'”’*]{0,4}"
        + _RIGHT,
        re.MULTILINE,
    ),
    re.compile(rf"(?=[(\[]){_ALONE}(?<![\w'’])[(\[](?P<answer>[a-j])[)\]]{_RIGHT}", re.MULTILINE),
    re.compile(
        r"(?im)^[ \t*_#]*(?:the\s|my\s)?(?:final\s"
        r"|correct\s)?answer[*_]{0,2}[ \t]+(?=[*_(\[]{0,3}(?-i:[A-J])[*_)\]]{0,3}[ \t]*[.,;:!]?[ \t]*$)"
    ),
)
"""Phrases by which replies name an option without an answer marker; `option B is not correct` matches none."""

_LABEL = re.compile(r"(?i)(?:option|choice|letter)\s+(?=[(\[\"'“‘]?[a-j]\b)")
_LAST_LINE = re.compile(r"[*_`\"'$ \t]*[(\[]?[A-J][)\]]?[*_`\"'$ \t]*[.!]?[*_ \t]*")


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
        return verify_option(reply, reference, payload)

    def format_instruction(self, settings: ChoiceTask) -> str:
        """Return the instruction on the answer format, the same for every choice task."""
        return "Finish with 'Answer:' and the letter of the right option."

    def option_count(self, options: Sequence[str], payload: Mapping[str, object]) -> int | None:
        """Return the number of options, stored apart or found in the text; None if their texts aren't known."""
        known = payload.get("options")
        return len(options) or (len(known) if isinstance(known, Mapping) else 0) or None


def verify_option(reply: str, reference: str, payload: Mapping[str, object]) -> Verification:
    """Verify a reply to a multiple-choice question of any kind.

    Args:
        reply: the complete reply.
        reference: the letter of the right option.
        payload: `options` (letter → text, as far as known) and `letters` (those that can name an option).
    """
    known = payload.get("options")
    options = {str(letter): str(text) for letter, text in known.items()} if isinstance(known, Mapping) else {}
    letters = str(payload.get("letters", LETTERS))

    def names_one(text: str) -> bool:
        return single_letter(text, options) is not None

    found = extract(reply, phrases=_PHRASES, whole_reply=True, accepts=names_one)
    # An unmarked reply is an answer only if it is nothing else: "It is B, I think" commits to nothing.
    line = _LABEL.sub("", found.answer or "", count=1)
    bare = found.rule != "whole reply" or without_lead(line, equations=False) == line
    if found.rule in ("", "whole reply", "fence") and not (found.answer and bare and names_one(found.answer)):
        found = _on_last_line(reply)
    if found.answer is None:
        return Verification("incorrect", None, "", None, NO_ANSWER)
    letter = single_letter(found.answer, options)
    if letter is None or letter not in letters:
        return Verification("incorrect", None, "", None, f"no single option of {letters}: {_shown(found.answer)!r}")
    if letter == reference.upper():
        return Verification("correct", letter, found.rule, 1.0, "")
    return Verification("incorrect", letter, found.rule, 0.0, f"{letter} instead of {reference.upper()}")


def _on_last_line(reply: str) -> Extraction:
    """Return the letter that stands alone on the last line of a reply."""
    line = without_thoughts(reply).rstrip().rpartition("\n")[2]
    return Extraction(cleaned(line), "last line", line) if _LAST_LINE.fullmatch(line) else Extraction(None, "", None)


def _shown(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"


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
