"""Tests that no prompt contains the reference answer, for every task type in every setting.

Trap 2: published training rows carry their target inside the prompt. Here each question's reference, and every text in
its verifier's payload, is a marker that occurs nowhere else; no request of a complete plan may contain it.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.evaluation.load_plan import held_out_plan
from engine.rollout.load_plan import training_plan
from engine.tasks import TASK_TYPES
from store.runs import runs
from tests.support.rollout_plans import FakeGenerator, make_rollout, question_of, run_plan, stage_of
from tests.support.rows import Rows, run_settings

TASKS: dict[str, dict[str, Any]] = {
    "choice": {"path": "x.jsonl"},
    "math": {"path": "x.jsonl"},
    "free_text": {"path": "x.jsonl", "threshold": 0.5},
    "code": {"path": "x.jsonl"},
    "procedural": {"dataset": "letter_counting"},
}

EVALUATIONS = st.fixed_dictionaries(
    {
        "protocol": st.sampled_from(["oracle", "oracle-free", "both"]),
        "rounds": st.integers(1, 3),
        "retry_samples": st.integers(1, 2),
        "vote_samples": st.integers(0, 2),
    }
)


def _payload(marker: str) -> dict[str, object]:
    """A payload of what verifiers store with the reference, and more, at every depth."""
    return {
        "worked": f"Answer: {marker}",
        "references": [marker, f"{marker} too"],
        "entry": {"answer": marker, "metadata": {"solution": [marker]}},
        "tests": [f"assert f() == {marker!r}"],
        "program": f"def f():\n    return {marker!r}",
    }


def _fill(rows: Rows) -> set[str]:
    """Insert questions of every task type in both splits; return the texts that no prompt may contain."""
    secret = set()
    for kind in TASK_TYPES:
        for split in ("train", "test"):
            for verdict in ("incorrect", "correct"):
                marker = f"SECRET-{kind}-{split}-{verdict}"
                secret.add(marker)
                text = f"{verdict} {kind} {split}"
                row = (kind, "reasoning", split, text, (), marker, _payload(marker), f"{kind}|{text}")
                runs.add_questions(rows.connection, rows.run, [row])
    return secret


def test_every_task_type_is_tried() -> None:
    """A new task type must be added to this test."""
    assert set(TASK_TYPES) <= set(TASKS)


@given(
    evaluation=EVALUATIONS,
    show=st.booleans(),
    rounds=st.integers(1, 3),
    instructions=st.sampled_from(["random:2", "balanced:1", ["1-1-1", "2-8-2"]]),
)
@settings(max_examples=15, deadline=None)
def test_no_prompt_of_any_setting_holds_a_reference_answer(
    evaluation: dict[str, Any], show: bool, rounds: int, instructions: str | list[str]
) -> None:
    """Training rollouts and held-out answers, over attempts, reflections, corrections, rounds, retries and votes."""
    tasks = [{"kind": kind, "name": kind, **TASKS[kind]} for kind in TASK_TYPES]
    chosen = run_settings(
        tasks=tasks,
        evaluation=evaluation,
        correction={"show_previous_attempt": show},
        reflection={"rounds": rounds, "instructions": instructions},
    )
    with tempfile.TemporaryDirectory() as root:
        rows = Rows(Path(root) / "reflectevo.db", chosen)
        secret = _fill(rows)
        generators = [run_plan(rows, training_plan(rows.connection, rows.iteration).plan)]
        feedbacks = ("oracle", "oracle-free") if evaluation["protocol"] == "both" else (evaluation["protocol"],)
        for feedback in feedbacks:
            held_out = held_out_plan(rows.connection, rows.iteration, rows.policy, feedback)
            generators.append(FakeGenerator())
            rollout, _ = make_rollout(rows, held_out.plan, generators[-1])
            _run(rollout)
        asked = [request for generator in generators for request in generator.requests]
        assert {"attempt", "reflect", "correct"} <= {stage_of(request) for request in asked}
        assert {question_of(request) for request in asked} == {
            f"{verdict} {kind} {split}"
            for kind in TASK_TYPES
            for split in ("train", "test")
            for verdict in ("incorrect", "correct")
        }
        for request in asked:
            said = "\n".join(message["content"] for message in request.messages)
            assert not any(marker in said for marker in secret)
        rows.connection.close()


def _run(rollout: Any) -> None:
    assert asyncio.run(rollout.run())


@pytest.mark.parametrize("place", ["question", "option"])
def test_a_reference_that_the_question_states_is_seen(tmp_path: Path, place: str) -> None:
    """The test above can fail: the text of a question does reach the prompt."""
    rows = Rows(tmp_path / "reflectevo.db")
    text, options = ("incorrect LEAK", ()) if place == "question" else ("incorrect", ("LEAK",))
    runs.add_questions(rows.connection, rows.run, [("quiz", "d", "train", text, options, "LEAK", {}, "h")])
    generator = run_plan(rows, training_plan(rows.connection, rows.iteration).plan)
    assert any("LEAK" in message["content"] for request in generator.requests for message in request.messages)
    rows.connection.close()
