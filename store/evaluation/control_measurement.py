"""The corrections of a control measurement by arm and question, as analysed and as stored. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class ArmAnswer(NamedTuple):
    """The correction of one wrong first answer under one arm."""

    correct: bool | None
    """None without a verdict; the answer then counts for nothing."""
    group: str | None
    """Equivalent answers have the same group; None if no answer could be extracted, which counts as an answer."""


Answers = Mapping[str, Mapping[int, tuple[bool | None, str | None]]]
"""By arm (see `ARMS`) and question id, the correction as an `ArmAnswer`."""


@dataclass(frozen=True, slots=True)
class ControlMeasurement:
    """The corrections of one policy's wrong first answers. `label` names the policy in notes, if there are several."""

    answers: Answers
    tasks: Mapping[int, str]
    """Task of each question."""
    floor: Mapping[int, float]
    """Probability, by question, that a guess of another answer is right."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """By arm, why it has no corrections, for the notes."""
    label: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the answers, tasks and floors as JSON values, from which `measurement_from_json` reads them."""
        return {
            "answers": {
                arm: {str(question): [right, group] for question, (right, group) in found.items()}
                for arm, found in self.answers.items()
            },
            "questions": {str(one): [task, self.floor.get(one)] for one, task in self.tasks.items()},
        }


def measurement_from_json(values: Mapping[str, Any], reasons: Mapping[str, str], label: str) -> ControlMeasurement:
    """Return a stored measurement, see `ControlMeasurement.as_json`."""
    questions = {int(one): (str(task), floor) for one, (task, floor) in values["questions"].items()}
    return ControlMeasurement(
        {
            arm: {int(question): ArmAnswer(right, group) for question, (right, group) in found.items()}
            for arm, found in values["answers"].items()
        },
        {one: task for one, (task, _) in questions.items()},
        {one: float(floor) for one, (_, floor) in questions.items() if floor is not None},
        reasons,
        label,
    )
