"""Stock sentences of the synthetic store, and the parameters of its tasks. Pure, given a random generator."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from random import Random

from store.curation.training_settings import TrainingSetting

MODEL = "synthetic/none"


@dataclass(frozen=True, slots=True)
class TaskShape:
    """Parameters of a task: its frequency, Acc@t1 (`first`), and i→c rate of reflections (`helped`)."""

    name: str
    kind: str
    options: bool
    """Whether its questions are multiple choice."""
    domain: str
    share: float
    first: float
    helped: float


TASKS = (
    TaskShape("logiqa", "choice", True, "logical reasoning", 0.45, 0.36, 0.2),
    TaskShape("math", "math", False, "mathematics", 0.25, 0.17, 0.1),
    TaskShape("hotpotqa", "free_text", False, "contextual QA", 0.15, 0.24, 0.05),
    TaskShape("siqa", "choice", True, "social", 0.15, 0.47, 0.32),
)

INSTRUCTIONS = {
    "verify": ["Check the attempt one step after another.", "Check the attempt in one pass."],
    "locate": [
        "Look for an error of calculation.",
        "Look for steps in a wrong order.",
        "Look for a step that does not follow.",
        "Look for statements that contradict the conclusion.",
        "Look for a requirement that was overlooked.",
        "Look for an aspect that was not addressed.",
        "Look for a break of the required format.",
        "Look for a wrong fact.",
    ],
    "plan": ["Plan why another way avoids the failure.", "Plan the corrections one by one."],
    "general": "Name a likely cause and make a short plan.",
}
"""The instruction pool, in the format in which an engine publishes it."""

_SUBJECTS = (
    "the first group", "the second premise", "the train from the north", "the committee", "each member of the team",
    "the larger of the two numbers", "the article", "the person who arrived last", "the remaining share",
)  # fmt: skip
_CLAIMS = (
    "was counted twice", "does not depend on the colour", "must be one more than before", "was never mentioned again",
    "follows from the second statement", "is half of what was left", "was compared with the wrong pair",
    "holds only when both conditions do", "is divided evenly among the others", "came before the meeting",
)  # fmt: skip
_STEPS = (
    "First I write down what is given.", "Then I compare the two sides.", "Both conditions must hold at once.",
    "The difference is what matters here.", "I check the remaining cases.", "This leaves a single possibility.",
    "The total grows by the same amount each time.", "I substitute the value and simplify.",
    "The passage says so in its second sentence.", "Nothing else in the question speaks against it.",
)  # fmt: skip
_CAUSES = (
    "The attempt dropped the sign of the second term when both sides were moved.",
    "It compared the conclusion with the options, but never used the premise about the second group.",
    "The order of the two steps was exchanged, so the total was taken before the discount.",
    "One condition of the question was read as optional, although it must hold.",
    "The last statement contradicts what was written two lines earlier.",
    "It answered a neighbouring question and left the asked one open.",
    "The required form of the answer was ignored.",
    "A fact was taken from memory although the passage says otherwise.",
)
_PLANS = (
    "Next time, name the changed variable first and test each option against it.",
    "Write the intermediate result down before it is used, then the slip shows.",
    "Read the conditions again one by one and tick those that the answer meets.",
    "Work backwards from each option and drop those that break a premise.",
    "Keep both sides in one line until the term has been moved.",
)

_ANSWER = re.compile(r"Answer: (\S+)\s*\Z")


def _sentence(draw: Random) -> str:
    return f"{draw.choice(_SUBJECTS).capitalize()} {draw.choice(_CLAIMS)}."


def question(draw: Random, task: TaskShape, number: int) -> str:
    """Return a question of a task; its number makes the text unique."""
    given = " ".join(_sentence(draw) for _ in range(draw.randint(3, 7)))
    return f"{given} Which of the following can be concluded about case {number:,} of {task.name}?"


def options_json(task: TaskShape) -> str:
    """Return the options of a multiple-choice task in the stored format."""
    return json.dumps([f"{_SUBJECTS[n]} {_CLAIMS[n]}" for n in range(4)] if task.options else [])


def reference(draw: Random, task: TaskShape) -> str:
    """Return a reference answer."""
    return draw.choice("ABCD") if task.options else str(draw.randint(2, 99))


def attempt(draw: Random, right: bool) -> str:
    """Return an answer with its reasoning."""
    steps = draw.choices(_STEPS, k=draw.randint(3, 7))
    steps.insert(1, _sentence(draw))
    return "\n".join([*steps, f"Answer: {'C' if right else draw.choice('ABD')}"])


def answer(text: str) -> str | None:
    """Return the final answer of an answer with reasoning; None when there is none."""
    match = _ANSWER.search(text)
    return match.group(1) if match else None


def corrected(draw: Random, text: str, helped: bool) -> str:
    """Return a partly changed version of an answer with reasoning."""
    lines = text.split("\n")[:-1]
    lines[draw.randrange(len(lines))] = _sentence(draw)
    lines.insert(draw.randint(1, len(lines)), draw.choice(_STEPS))
    return "\n".join([*lines, f"Answer: {'C' if helped else draw.choice('ABD')}"])


def reflection(draw: Random, instruction: str) -> str:
    """Return a reflection; the named cause fits the instruction most of the time."""
    place = int(instruction.split("-")[1]) - 1 if "-" in instruction else draw.randrange(len(_CAUSES))
    cause = _CAUSES[place] if draw.random() < 0.7 else draw.choice(_CAUSES)
    return " ".join([cause, _sentence(draw), *draw.sample(_PLANS, draw.randint(1, 3))])


def strength(instruction: str) -> float:
    """Return the i→c rate of an instruction relative to the average."""
    verify, locate, plan = (int(part) for part in instruction.split("-"))
    return (1.15 if verify == 1 else 0.85) * (1.4 - 0.1 * locate) * (1.1 if plan == 2 else 0.9)


def run_settings(setting: TrainingSetting) -> dict[str, object]:
    """Return the settings of the synthetic run."""
    from store.settings import RunSettings

    tasks = [
        {"kind": task.kind, "name": task.name, "domain": task.domain, "path": f"{task.name}.jsonl", "train": 7000}
        for task in TASKS
    ]
    settings = RunSettings.model_validate(
        {
            "name": "synthetic",
            "model": MODEL,
            "tasks": tasks,
            "gates": ["train", "promote"],
            "generation": {"generator": "scripted"},
            "training": {"setting": setting},
        }
    )
    return settings.model_dump(mode="json")
