r"""Mathematics, judged on meaning: `1,000` is `1000`, `$5$` is `5.0`, `\frac12` is `0.5`.

Symbolic mathematics on a hostile reply can run for ever or eat all memory: `isolated` asks the caller for a
process with limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from engine.tasks.answers.extraction import extract, last_boxed, number
from engine.tasks.answers.math_equality import compare
from engine.tasks.base import Loaded, Question, Verification, worked_example
from engine.tasks.loading.fields import RowRefused, asked, text_field
from engine.tasks.loading.sources import load_local
from engine.tasks.task_kind import TaskType
from store.records import Split
from store.settings.tasks import MathTask

_LONGEST_PLAIN_ANSWER = 100
_LONGEST_REASONING = 60
_CALCULATOR = re.compile(r"<<[^<>]*>>")
"""GSM8K's notes to a calculator inside its solutions."""


class Math(TaskType[MathTask]):
    """The task type `math`."""

    kind: ClassVar[str] = "math"
    isolated: ClassVar[bool] = True

    def load(self, settings: MathTask, base_dir: Path, seed: int) -> Loaded:
        """Questions, held-out questions and worked examples. Raises TaskError when the source can't be used."""

        def question(row: Mapping[str, object], split: Split) -> Question:
            return _question(settings, row, split)

        return load_local(settings, base_dir, seed, question, worked_example)

    def verify(self, reply: str, reference: str, payload: Mapping[str, object]) -> Verification:
        """Correct when the last marked answer means the same as the reference.

        A sum or product left undone doesn't answer a question whose reference is a number. `unverified` when
        math-verify can't read the reference and the texts differ. Raises EngineError without math-verify.
        """
        found = extract(reply)
        if found.answer is None:
            return Verification("incorrect", None, "", None, "the reply marks no answer")
        same, how = compare(found.answer, reference)
        if same is None:
            return Verification("unverified", found.answer, found.rule, None, how)
        return Verification("correct" if same else "incorrect", found.answer, found.rule, float(same), how)

    def format_instruction(self, settings: MathTask) -> str:
        """The same for every math task."""
        return "Solve it in short steps. Finish with 'Answer:' and the result."

    def same_answer_key(self, answer: str) -> str:
        """The value where the answer is a number, else its text without spaces."""
        value = number(answer)
        return "".join(answer.split()) if value is None else str(value)


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
    """The source's own solution when it is short, and the answer line; else only the answer line."""
    line = f"Answer: {reference}"
    steps = _CALCULATOR.sub("", solution.rpartition("####")[0] or solution).strip()
    return f"{steps}\n{line}" if steps != reference and len(steps.split()) <= _LONGEST_REASONING else line
