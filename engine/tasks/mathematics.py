r"""The task type `math`: answers verified by mathematical equality.

`1,000` equals `1000`, `$5$` equals `5.0` and `\frac12` equals `0.5`. Symbolic computation on a hostile reply can run
forever or exhaust memory, so the type is `isolated`: the caller verifies in a process with limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from engine.tasks.answers.extraction import cleaned, extract, last_boxed, number
from engine.tasks.answers.latex import tidy
from engine.tasks.answers.math_equality import compare
from engine.tasks.answers.quantities import quantity
from engine.tasks.answers.remarks import sole_number, without_decoration, without_lead, without_remark
from engine.tasks.answers.statements import CONCLUSIONS
from engine.tasks.base import NO_ANSWER, Loaded, Question, Verification, worked_example
from engine.tasks.loading.fields import RowRefused, asked, text_field
from engine.tasks.loading.sources import load_local
from engine.tasks.task_kind import TaskType
from store.records import Split
from store.settings.tasks import MathTask

_LONGEST_PLAIN_ANSWER = 100
_LONGEST_REASONING = 60
_CALCULATOR = re.compile(r"<<[^<>]*>>")
"""Calculator annotations in GSM8K's solutions."""


class Math(TaskType[MathTask]):
    """The task type `math`."""

    kind: ClassVar[str] = "math"
    isolated: ClassVar[bool] = True
    reasoning_instruction: ClassVar[str] = ""

    def load(self, settings: MathTask, base_dir: Path, seed: int) -> Loaded:
        """Load train, dev and test questions and worked examples. Raises TaskError if the source can't be used."""

        def question(row: Mapping[str, object], split: Split) -> Question:
            return _question(settings, row, split)

        return load_local(settings, base_dir, seed, question, worked_example)

    def verify(self, reply: str, reference: str, payload: Mapping[str, object]) -> Verification:
        """Verify a reply: correct if the last marked answer is mathematically equal to the reference.

        An unevaluated sum or product does not answer a question whose reference is a number. The verdict is
        `unverified` if math-verify can't parse the reference and the texts differ.

        Raises:
            EngineError: if math-verify is not installed.
        """
        found = extract(reply, phrases=CONCLUSIONS, letter_mark=True, whole_reply=True, accepts=_is_value)
        if found.answer is None or (found.rule in ("whole reply", "last line") and not _is_value(found.answer)):
            return Verification("incorrect", None, "", None, NO_ANSWER)
        same, how = compare(found.answer, reference)
        if same is None:
            return Verification("unverified", found.answer, found.rule, None, how)
        return Verification("correct" if same else "incorrect", found.answer, found.rule, float(same), how)

    def format_instruction(self, settings: MathTask) -> str:
        """Return the instruction on the answer format, the same for every math task."""
        return "Solve it in short steps. Finish with 'Answer:' and the result."

    def same_answer_key(self, answer: str) -> str:
        """Return the value if the answer is a number, else its text without spaces."""
        value = number(answer)
        return "".join(answer.split()) if value is None else str(value)


def _is_value(text: str) -> bool:
    """Check whether a text is a number with its unit or a short expression, so that it can replace a marked answer or
    stand alone."""
    bare = without_remark(without_decoration(text))
    if quantity(tidy(cleaned(without_lead(bare)))) is not None:
        return True
    words = re.findall(r"(?<![\\\w])[A-Za-z]{2,}", bare)
    if len(words) > 2 and sole_number(bare):
        return True
    return len(bare) <= _LONGEST_PLAIN_ANSWER and len(words) < 3 and re.search(r"[\d\\]|^[a-zA-Z]$", bare) is not None


def reference_of(solution: str) -> str:
    r"""Return the final answer of a solution: its last `\boxed{}`, the text after the last `####`, or a short text.

    Raises RowRefused if the solution has none of these.
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
    solution = text_field(row, settings.answer_field)
    reference = reference_of(solution)
    return Question(
        task=settings.name,
        domain=settings.domain,
        split=split,
        text=asked(settings, row),
        options=(),
        reference=reference,
        payload={"worked": _worked(solution, reference)},
    )


def _worked(solution: str, reference: str) -> str:
    """Return the source's solution, if it is short, followed by the answer line; otherwise the answer line alone."""
    line = f"Answer: {reference}"
    steps = _CALCULATOR.sub("", solution.rpartition("####")[0] or solution).strip()
    return f"{steps}\n{line}" if steps != reference and len(steps.split()) <= _LONGEST_REASONING else line
