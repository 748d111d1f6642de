"""Tests of the worked answers: correct, in the answer format, and never part of a prompt for their own question."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engine.prompts.rollout import (
    attempt_messages,
    correction_messages,
    one_stage_messages,
    reflection_messages,
    retry_messages,
)
from engine.rollout import load_plan
from engine.tasks import load_tasks, task_type
from engine.tasks.base import Question
from store.records import StoredQuestion
from store.settings import RunSettings

ROWS: dict[str, list[dict[str, Any]]] = {
    "choice": [{"question": f"Riddle {n}?\nA. ape\nB. bee", "answer": "AB"[n % 2]} for n in range(6)],
    "math": [
        {"problem": f"Sum {n}?", "solution": f"Zyzzyva reckons it so {n} times: $\\boxed{{{n}0}}$."} for n in range(6)
    ],
    "free_text": [{"question": f"Who is {n}?", "answer": [f"Zyzzyva{n}", "nobody"]} for n in range(6)],
}


def settings(tmp_path: Path) -> RunSettings:
    tasks: list[dict[str, Any]] = [{"kind": "procedural", "name": "procedural", "dataset": "gcd"}]
    for kind, rows in ROWS.items():
        (tmp_path / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        tasks.append({"kind": kind, "name": kind, "path": f"{kind}.jsonl"})
    return RunSettings.model_validate(
        {"model": "m", "tasks": [task | {"train": 3, "dev": 1, "test": 1, "few_shot": 1} for task in tasks]}
    )


def questions(tmp_path: Path) -> list[Question]:
    loaded = load_tasks(settings(tmp_path), tmp_path)
    return [question for one in loaded.values() for question in (*one.train, *one.dev, *one.test)]


def test_every_question_carries_a_worked_answer_that_is_right(tmp_path: Path) -> None:
    """The training targets of the baseline without reflection are correct by the verifier."""
    pytest.importorskip("math_verify")
    pytest.importorskip("reasoning_gym")
    found = questions(tmp_path)
    assert {question.task for question in found} == {*ROWS, "procedural"}
    for question in found:
        worked = question.payload["worked"]
        assert isinstance(worked, str)
        assert worked.rpartition("\n")[2].startswith("Answer: ")
        verification = task_type(question.task).verify(worked, question.reference, question.payload)
        assert verification.verdict == "correct", verification
    math = [str(question.payload["worked"]) for question in found if question.task == "math"]
    assert all(worked.startswith("Zyzzyva reckons") for worked in math)


def test_no_prompt_holds_the_worked_answer_of_its_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap 2: what is stored for training must not reach a prompt."""
    pytest.importorskip("reasoning_gym")
    monkeypatch.setattr(load_plan, "few_shots", lambda _connection, _run: {})
    stored = [
        StoredQuestion(
            number, q.task, q.domain, q.split, q.text, q.options, q.reference, dict(q.payload), q.content_hash
        )
        for number, q in enumerate(questions(tmp_path))
    ]
    with sqlite3.connect(":memory:") as connection:
        problems = load_plan.problems_of(connection, 1, settings(tmp_path), stored)
    for question in stored:
        problem = problems[question.id]
        prompts = [
            attempt_messages(problem),
            reflection_messages(problem, "try", "why"),
            one_stage_messages(problem, "try", "why"),
        ]
        for shown in (True, False):
            prompts.append(correction_messages(problem, "try", "hint", show_previous_attempt=shown))
            prompts.append(retry_messages(problem, "try", show_previous_attempt=shown))
        for prompt in prompts:
            text = "\n".join(message["content"] for message in prompt)
            assert str(question.payload["worked"]) not in text
            assert "Zyzzyva" not in text
