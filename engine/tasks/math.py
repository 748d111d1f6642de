r"""Mathematics from local JSONL files, judged by math-verify on meaning: `1,000` is `1000`, `$5$` is `5.0`.

Only math-verify's LaTeX grammar reads the reply. Its plain-expression reader goes through sympy's `parse_expr`,
which evaluates text as Python, so it is left out. math-verify's own time limits need signals of the main thread
and fail in any other; they are off here, and `isolated` asks the caller for a process with limits instead.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from engine.errors import EngineError
from engine.tasks.base import Example, Judgement, Loaded, Question, Split
from engine.tasks.extraction import cleaned, extract, last_boxed
from engine.tasks.sources import RowRefused, load_local, text_field
from store.task_settings import MathTask

_LONGEST_PLAIN_ANSWER = 100
_LONGEST_REASONING = 60
_NUMBER = re.compile(r"[-+]?(?:\d+(?:,\d{3})+|\d+)?(?:\.\d+)?")
_LEFT_TO_DO = re.compile(r"[\d)}]\s*(?:[-+*×·÷]|\\times(?!\s*10\s*\^)|\\cdot(?!\s*10\s*\^)|\\div)\s*[\d({\\]")


class Math:
    """The task type `math`."""

    kind: ClassVar[str] = "math"
    isolated: ClassVar[bool] = True

    def load(self, settings: MathTask, base_dir: Path, seed: int) -> Loaded:
        """Questions, held-out questions and worked examples. Raises TaskError when the files can't be used."""

        def question(row: Mapping[str, object], split: Split) -> Question:
            return _question(settings, row, split)

        def example(made: Question, row: Mapping[str, object]) -> Example:
            return _example(settings, made, row)

        return load_local(settings, base_dir, seed, question, example)

    def judge(self, reply: str, reference: str, payload: Mapping[str, object]) -> Judgement:
        """Correct when the last marked answer means the same as the reference.

        A sum or product left undone doesn't answer a question whose reference is a number. `unverified` when
        math-verify can't read the reference and the texts differ. Raises EngineError without math-verify.
        """
        found = extract(reply)
        if found.answer is None:
            return Judgement("incorrect", None, "", None, "the reply marks no answer")
        answer = found.answer
        target = number(reference)
        value = number(answer.rpartition("=")[2])
        if _same_text(answer, reference):
            return Judgement("correct", answer, found.rule, 1.0, "the same text")
        if target is not None and value is not None:
            same = target == value
            return Judgement("correct" if same else "incorrect", answer, found.rule, float(same), "compared as numbers")
        if target is not None and _LEFT_TO_DO.search(answer.rpartition("=")[2]):
            return Judgement("incorrect", answer, found.rule, 0.0, "a calculation left undone")
        gold = _parsed(reference)
        if not any(not isinstance(part, str) for part in gold):
            return Judgement(
                "unverified", answer, found.rule, None, f"math-verify can't read the reference {reference!r}"
            )
        guess = _parsed(answer)
        if not guess:
            return Judgement("incorrect", answer, found.rule, 0.0, "math-verify can't read the answer")
        _, verify, _ = _math_verify()
        same = bool(verify(gold, guess, timeout_seconds=None))
        return Judgement("correct" if same else "incorrect", answer, found.rule, float(same), "compared by math-verify")

    def format_instruction(self, settings: MathTask) -> str:
        """The same for every math task."""
        return "Solve it in short steps. Finish with 'Answer:' and the result."


def number(text: str) -> Decimal | None:
    """The plain number a text is, without currency sign and thousands separators; None when it isn't one."""
    bare = cleaned(text).replace("\\$", "").replace("$", "").replace("{,}", ",").replace("\\!", "").strip()
    if not _NUMBER.fullmatch(bare):
        return None
    try:
        return Decimal(bare.replace(",", ""))
    except InvalidOperation:
        return None


def reference_of(solution: str) -> str:
    r"""The answer a solution ends in: its last `\boxed{}`, what follows a last `####`, or a short plain text.

    Raises RowRefused when none of these is there.
    """
    boxed = last_boxed(solution)
    if boxed is not None:
        return boxed
    _, mark, rest = solution.rpartition("####")
    if mark and rest.strip():
        return rest.strip()
    if len(solution) <= _LONGEST_PLAIN_ANSWER and "\n" not in solution:
        return solution
    raise RowRefused(r"the solution has no \boxed{} answer and is too long to be a plain answer")


def _question(settings: MathTask, row: Mapping[str, object], split: Split) -> Question:
    return Question(
        task=settings.name,
        domain=settings.domain,
        split=split,
        text=text_field(row, settings.question_field),
        options=(),
        reference=reference_of(text_field(row, settings.answer_field)),
        payload={},
    )


def _example(settings: MathTask, question: Question, row: Mapping[str, object]) -> Example:
    """The file's own solution when it is short, else only the answer line."""
    solution = text_field(row, settings.answer_field)
    line = f"Answer: {question.reference}"
    if solution != question.reference and len(solution.split()) <= _LONGEST_REASONING:
        return Example(question.text, f"{solution}\n{line}")
    return Example(question.text, line)


def _same_text(answer: str, reference: str) -> bool:
    """Equal without regard to spaces, and for a reference in words without regard to case."""
    left, right = "".join(answer.split()), "".join(cleaned(reference).split())
    if reference.strip().startswith("\\text"):
        return left.casefold() == right.casefold()
    return left == right


def _parsed(text: str) -> list[Any]:
    """What math-verify's LaTeX grammar makes of a text: sympy objects, then the text itself."""
    parse, _, targets = _math_verify()
    parsed: list[Any] = parse(f"${cleaned(text)}$", extraction_config=targets, parsing_timeout=None)
    return parsed


@lru_cache(maxsize=1)
def _math_verify() -> tuple[Any, Any, list[Any]]:
    """math-verify's `parse` and `verify`, and the one reader that is used."""
    try:
        library = import_module("math_verify")
    except ImportError as error:
        message = f"judging math answers needs math-verify: pip install 'reflectevo[engine]' ({error})"
        raise EngineError(message) from error
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    return library.parse, library.verify, [library.LatexExtractionConfig()]
