"""Tests of `reflection.feedback = "detail"`: what a kind of task reports on a wrong attempt, and where it is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.commands.render_prompt import rerender
from engine.evaluation.protocol import protocol_name
from engine.rollout.plan_prompts import feedback_on
from engine.tasks import TASK_TYPES, task_type
from engine.training.load_examples import training_examples
from store.database.connection import open_reader, write
from store.rollouts.attempts import get_attempt
from store.runs.iterations import get_iteration
from store.settings import RunSettings
from tests.support.engines import EngineHarness
from tests.support.rows import Rows, run_settings

Make = Callable[[str], EngineHarness]


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    made = Rows(tmp_path / "reflectevo.db")
    yield made
    made.connection.close()


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ("fence: test 2 of 3: assert f(2) == 4 gave 3", "The tests report: test 2 of 3: assert f(2) == 4 gave 3."),
        (
            "answer line: test 1 of 1: assert f(1) == 2 raised TypeError: the program is odd",
            "The tests report: test 1 of 1: assert f(1) == 2 raised TypeError: the program is odd.",
        ),
        (
            "fence: the program can't be loaded: SyntaxError: invalid syntax",
            "The tests report: the program can't be loaded: SyntaxError: invalid syntax.",
        ),
        ("whole reply: the time limit (5 s)", "The tests report: the time limit (5 s)."),
        ("no program found in the reply", "The tests report: no program found in the reply."),
        ("", ""),
    ],
)
def test_the_prompt_on_a_program_states_which_test_failed_and_how(detail: str, said: str) -> None:
    """As in the paper. The rule by which the program was extracted is left out."""
    assert task_type("code").feedback(detail, 0.5) == said


def test_only_the_test_that_failed_is_shown() -> None:
    """The expected values of other tests, and the reference program, stay hidden."""
    payload = {"tests": ["assert f(1) == 10", "assert f(2) == 20", "assert f(3) == 30"], "setup": "", "seconds": 5.0,
               "memory_mib": 512}  # fmt: skip
    found = task_type("code").verify("```python\ndef f(n):\n    return 10\n```", "def f(n): return 10 * n", payload)
    if found.verdict == "unverified":
        pytest.skip(found.detail)
    said = task_type("code").feedback(f"{found.rule}: {found.detail}", found.score)
    assert "f(2) == 20" in said and "gave 10" in said
    assert "30" not in said and "10 * n" not in said


def test_the_prompt_on_free_text_states_its_f1_and_no_word_of_the_answer() -> None:
    """The score alone."""
    found = task_type("free_text").verify("Answer: the old bridge", "a new stone bridge", {"references": []})
    said = task_type("free_text").feedback(f"{found.rule}: {found.detail}", found.score)
    assert said == f"Its token F1 against the accepted answer is {found.score:.2f}."
    assert "stone" not in said


@pytest.mark.parametrize("kind", sorted(set(TASK_TYPES) - {"code", "free_text"}))
def test_other_kinds_say_no_more_than_the_verdict(kind: str) -> None:
    """What the verifiers of short answers note would state the reference."""
    assert task_type(kind).feedback("answer line: 5 is not 6", 0.0) == ""


def test_only_a_wrong_attempt_has_feedback(rows: Rows) -> None:
    """And only where the settings ask for it."""
    question = rows.question("q")
    wrong, right, unknown = (rows.attempt(question, verdict, sample=sample, score=0.5) for sample, verdict in
                             enumerate(("incorrect", "correct", "unverified")))  # fmt: skip
    kinds = {"quiz": "free_text"}
    said = {}
    for number in (wrong, right, unknown):
        attempt = get_attempt(rows.connection, number)
        assert attempt is not None
        assert feedback_on({}, "quiz", attempt) == ""
        said[number] = feedback_on(kinds, "quiz", attempt)
    assert [bool(said[number]) for number in (wrong, right, unknown)] == [True, False, False]


def test_the_protocol_depends_on_the_feedback(rows: Rows) -> None:
    """Evaluations with and without the detail are not comparable."""
    assert protocol_name(run_settings(), []) != protocol_name(run_settings(reflection={"feedback": "detail"}), [])


def test_the_detail_is_in_every_prompt_trained_on_and_verified(harness: Make, tmp_path: Path) -> None:
    """Rollouts, D+ and rendered prompts agree on it; without an oracle it is left out."""
    path = tmp_path / "facts.jsonl"
    rows = [{"question": f"Which group is {n} in?", "answer": f"group {n % 3}"} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    one = harness(f"""
name = "facts"
model = "none"

[[tasks]]
kind = "free_text"
name = "facts"
path = "{path}"
threshold = 0.3
train = 20
test = 6

[generation]
generator = "scripted"

[reflection]
feedback = "detail"

[training]
setting = "sft-two-stage"

[evaluation]
protocol = "both"
""")
    one.start()
    one.run()
    one.wait(lambda: one.status()["iteration"]["state"] in ("done", "failed"))
    shown: dict[str, set[bool]] = {}
    texts = one.rows("SELECT id, protocol, 'attempt' FROM attempts WHERE turn = 2"
                     " UNION ALL SELECT id, protocol, 'reflection' FROM reflections")  # fmt: skip
    for number, protocol, what in texts:
        asked = {"attempt_id": None, "reflection_id": None} | {f"{what}_id": number}
        found = rerender(one.workspace, **asked)
        assert found["matches"] is True
        messages = found["messages"]
        assert isinstance(messages, list)
        said = "Its token F1 against the accepted answer is" in messages[-1]["content"]
        shown.setdefault(protocol.partition("/")[0], set()).add(said)
    assert shown == {"": {True}, "oracle": {True}, "oracle-free": {False}}


def test_examples_of_training_have_the_prompts_of_the_rollouts(rows: Rows) -> None:
    """A policy whose rollout prompts contain the detail is trained on prompts that contain it."""
    settings = run_settings(
        tasks=[{"kind": "free_text", "name": "quiz", "path": "quiz.jsonl", "train": 4, "test": 2}],
        reflection={"feedback": "detail"},
        training={"setting": "sft-two-stage"},
    )
    question = rows.question("q")
    attempt = rows.attempt(question, "incorrect", score=0.25)
    reflection, correction = rows.corrected(attempt, question, "correct")
    with write(rows.connection):
        rows.connection.execute(
            "UPDATE iterations SET settings = ? WHERE id = ?", (settings.model_dump_json(), rows.iteration)
        )
        rows.connection.execute(
            "INSERT INTO curated (iteration_id, set_name, reflection_id, correction_id, included)"
            " VALUES (?, 'd_plus', ?, ?, 1)",
            (rows.iteration, reflection, correction),
        )
    stages = training_examples(rows.connection, get_iteration(rows.connection, rows.iteration), settings)
    assert len(stages) == 2
    for (example,) in stages:
        assert "Its token F1 against the accepted answer is 0.25." in example.prompt[-1]["content"]
    assert isinstance(settings, RunSettings)
    with closing(open_reader(rows.path)) as connection:
        assert connection.execute("SELECT count(*) FROM curated").fetchone()[0] == 1
