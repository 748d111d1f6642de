"""Synthetic records in the published formats, for tests and benchmarks. They contain no real data."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
"""Published sample rows in a folder beside the repository, on machines that have them."""

_WORDS = "count every letter again before the total because one step was left out and its sign changed under".split()

Json = dict[str, Any]


class Maker:
    """Generates records; the same seed gives the same ones."""

    def __init__(self, seed: int = 0) -> None:
        self._draw = random.Random(seed)
        self._pool = [" ".join(self._draw.choices(_WORDS, k=40)) + f" v{n}" for n in range(2000)]

    def text(self, length: int) -> str:
        """Return words of about so many characters."""
        made = " ".join(self._draw.choices(self._pool, k=length // 180 + 1))
        return made[:length]

    def question(self, number: int) -> str:
        """Return a multiple-choice question."""
        return f"Question {number}: {self.text(200)}\nA. {self.text(20)}\nB. {self.text(25)}\nC. {self.text(30)}"

    def trial(self, letter: str, right: bool) -> str:
        """Return a trial's reasoning."""
        return f"\nThought: {self.text(300)} \nAction: Finish[{letter}]\nObservation: Answer is {_said(right)}"

    def raw(self, number: int, reflections: int = 1) -> Json:
        """Return a raw record: a wrong first trial and so many reflections, every second of which helped."""
        sources = {"reasoning_source": "N/A", "reflection_source": "N/A"}
        trials: list[Json] = [
            {
                "generated_answer": "B",
                "reflections": [],
                "reasoning": self.trial("B", False),
                "is_correct": False,
                "trial": 1,
                **sources,
            }
        ]
        for n in range(reflections):
            right = (number + n) % 2 == 0
            trials.append(
                {
                    "generated_answer": "A" if right else "B",
                    "reflections": [f"{number} {n} {self.text(400)}"],
                    "reasoning": self.trial("A" if right else "B", right),
                    "is_correct": right,
                    "test_list": "",
                    "trial": 2,
                    **sources,
                }
            )
        return {"question": self.question(number), "answer": "a", "id": number, "output": trials}

    def d_plus(self, number: int, *, leaking: bool = False) -> Json:
        """Return a D+ record; a leaking one contains its second trial in its prompt."""
        question, first, second = self.question(number), self.trial("B", False), self.trial("A", True)
        reflection = f"{number} {self.text(400)}"
        again = f"Solve it.\nQuestion: {question}\nReflections:\n- {reflection}\n(BEGIN)\n"
        return {
            "id": number,
            "question": question,
            "answer": "a",
            "first_trial_reasoning": first,
            "first_trial_answer": "B",
            "second_trial_reasoning": second,
            "second_trial_answer": "A",
            "reflections": reflection,
            "reason_prompt": [f"Solve it.\nQuestion: {question}\n", again + (second if leaking else "") + "\n(END)"],
            "reflect_prompt": f"You failed.\n\nQuestion: {question}\nPrevious trial: {first}\n1. Find the error.",
        }

    def pair(self, number: int, question: int, *, both_right: bool = False) -> Json:
        """Return a D± record, or a Dpref one; records of one question share the first trial and the chosen side."""
        own = Maker(question)
        asked, first = own.question(question), own.trial("B", False)
        chosen, reflection = own.trial("A", True), own.text(300)
        letter = "A" if both_right else "B"
        return {
            "id": number,
            "question": asked,
            "answer": "a",
            "first_trial_reasoning": first,
            "first_trial_answer": "B",
            "second_trial_reasoning_chosen": chosen,
            "second_trial_answer_chosen": "A",
            "reflection_chosen": reflection,
            "second_trial_reasoning_rejected": self.trial(letter, both_right),
            "second_trial_answer_rejected": letter,
            "reflection_rejected": f"{number} {self.text(300)}",
            "reason_prompt": f"Solve it.\nQuestion: {asked}",
            "reflection_prompt": f"Reflect.\n\nQuestion: {asked}\nYour trial: {first}\n",
        }


def _said(right: bool) -> str:
    return "CORRECT" if right else "INCORRECT"


def write_records(path: Path, records: Iterable[Json], *, indent: int | None = None) -> Path:
    """Write records one after another, one a line or pretty-printed."""
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, indent=indent, ensure_ascii=False) + "\n")
    return path
