"""Tests of an operator's own worked examples: shown first, never trained on, never a held-out question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.commands.check.tasks import check_tasks
from engine.errors import TaskError
from engine.prompts.rollout import Problem, attempt_messages
from engine.tasks import load_tasks
from engine.tasks.base import Loaded
from store.settings import RunSettings

OWN = {"question": "How many legs have 3 hens?", "reply": "A hen has 2 legs. 3 x 2 = 6. Answer: 6"}


def loaded(tmp_path: Path, rows: list[dict[str, str]], **changes: Any) -> Loaded:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = {"kind": "free_text", "name": "legs", "path": "rows.jsonl", "train": 6, "test": 2, **changes}
    return load_tasks(RunSettings.model_validate({"model": "m", "tasks": [task]}), tmp_path)["legs"]


def numbered(count: int) -> list[dict[str, str]]:
    return [{"question": f"How many legs have {n} hens?", "answer": str(2 * n)} for n in range(20, 20 + count)]


def test_they_stand_before_those_of_the_source_in_the_prompt(tmp_path: Path) -> None:
    """A model continues in the format of the last turns, so the order is the operator's; the reasoning is shown
    verbatim.
    """
    one = loaded(tmp_path, numbered(9), few_shot=1, examples=[OWN])
    assert [(shown.question, shown.answer) for shown in one.few_shot][:1] == [(OWN["question"], OWN["reply"])]
    assert len(one.few_shot) == 2 and one.few_shot[1].answer.startswith("Answer:")
    asked = attempt_messages(Problem("How many legs have 9 hens?", "Finish.", one.few_shot))
    assert [turn["content"].partition("\n")[0] for turn in asked[:2]] == [OWN["question"], OWN["reply"]]


def test_a_wrong_attempt_and_its_reflection_go_together(tmp_path: Path) -> None:
    """An incomplete example can't be shown; the message names what is missing."""
    lesson = {"attempt": "A hen has 4 legs. Answer: 12", "reflection": "A hen has two legs."}
    one = loaded(tmp_path, numbered(8), examples=[{**OWN, **lesson}])
    assert (one.few_shot[0].attempt, one.few_shot[0].reflection) == tuple(lesson.values())
    for half in lesson:
        with pytest.raises(ValueError, match="attempt and reflection go together"):
            loaded(tmp_path, numbered(8), examples=[{**OWN, half: lesson[half]}])


def test_a_training_question_that_is_shown_is_not_trained_on(tmp_path: Path) -> None:
    """Its answer is in every prompt: training on it would teach copying."""
    rows = [{"question": "how many legs have 3  hens?", "answer": "6"}, *numbered(7)]
    one = loaded(tmp_path, rows, train=8, test=0, examples=[OWN])
    assert len(one.train) == 7
    assert all("3  hens" not in question.text for question in one.train)
    assert one.notes == ("task 'legs': 1 training question left out: shown by worked examples",)


def test_an_example_that_is_held_out_is_not_shown(tmp_path: Path) -> None:
    """Trap 4: few-shots from the test set reveal its answers."""
    (tmp_path / "held.jsonl").write_text(json.dumps({"question": OWN["question"], "answer": "6"}), encoding="utf-8")
    one = loaded(tmp_path, numbered(6), test=1, test_path="held.jsonl", examples=[OWN])
    assert [question.text for question in one.test] == [OWN["question"]]
    assert one.few_shot == ()
    assert "1 worked example left out" in one.notes[-1]


def test_a_reply_without_an_answer_is_an_error_that_names_it(tmp_path: Path) -> None:
    """It would demonstrate replies that no verifier can read, in every prompt of the run."""
    silent = {"question": "How many legs have 4 hens?", "reply": "A hen has 2 legs, so there are 8."}
    with pytest.raises(TaskError, match="'legs': the reply of worked example 2 has no answer"):
        loaded(tmp_path, numbered(8), examples=[OWN, silent])


@pytest.mark.parametrize("reply", [OWN["reply"], "A hen has 2 legs."])
def test_what_a_run_would_do_with_them_is_said_before_it_starts(tmp_path: Path, reply: str) -> None:
    """`run --dry-run` loads tasks as a run does: a later error would cost a start and a model load."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in numbered(8)), encoding="utf-8")
    examples = [{**OWN, "reply": reply}]
    task = {"kind": "free_text", "name": "legs", "path": "rows.jsonl", "train": 6, "test": 2, "examples": examples}
    (finding,) = check_tasks(RunSettings.model_validate({"model": "m", "tasks": [task]}), tmp_path)
    if reply == OWN["reply"]:
        assert finding.level == "ok" and "1 worked example" in finding.what
    else:
        assert finding.level == "error" and "worked example 1 has no answer" in finding.what


def test_generated_questions_give_way_to_them(tmp_path: Path) -> None:
    """A generator eventually repeats a question that an operator wrote."""
    pytest.importorskip("reasoning_gym")
    asked = "Find the Greatest Common Divisor (GCD) of these numbers: {}, {}. Give only the GCD as your final answer."
    # The run uses all 36 questions, so that the examples are among them whatever the seed draws.
    examples = [{"question": asked.format(a, a), "reply": f"Answer: {a}"} for a in range(1, 7)]
    task = {"kind": "procedural", "name": "gcd", "dataset": "gcd", "options": {"max_value": 6}, "train": 30, "test": 6}
    given = {"model": "m", "tasks": [{**task, "examples": examples}]}
    one = load_tasks(RunSettings.model_validate(given), tmp_path)["gcd"]
    shown = {example.wording for example in one.few_shot}
    assert shown and len(one.train) < 30
    assert not shown & {question.wording for question in (*one.train, *one.test)}
