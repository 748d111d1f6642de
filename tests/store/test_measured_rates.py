"""Tests the measured inputs of an estimate: rates, lengths, shares and start-up times of a run, computed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.control.telemetry import add_metrics, put_capability
from store.curation.curated import NewCurated, replace_curated
from store.database.connection import write
from store.estimates.from_workspace import estimate_ahead, estimate_here, owed_now
from store.estimates.inputs import FILE_NAME, Figure
from store.estimates.measured_rates import measured
from store.runs import iterations
from store.runs.runs import add_run
from store.workspace import Workspace
from tests.support.rows import Rows, run_settings


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """Build an iteration of 40 attempts, one a second from second 1,030 on, of which 30 were wrong; half were
    corrected.
    """
    made = Rows(tmp_path / "reflectevo.db", run_settings(reflection={"instructions": "random:1", "samples": 1}))
    for number in range(40):
        question = made.question(f"q{number}")
        attempt = made.attempt(question, "incorrect" if number < 30 else "correct")
        if number < 30:
            made.corrected(attempt, question, "correct" if number % 2 else "incorrect")
    connection = made.connection
    connection.execute(
        "UPDATE attempts SET created = 1030 + id, latency = 1, prompt_tokens = 60, completion_tokens = 20"
    )
    connection.execute(
        "UPDATE reflections SET created = 1030 + id, latency = 1, prompt_tokens = 90, completion_tokens = 30"
    )
    connection.execute(
        "UPDATE attempts SET prompt_tokens = 120, completion_tokens = 10 WHERE reflection_id IS NOT NULL"
    )
    connection.execute("UPDATE stages SET started = 1000, ended = 1100, state = 'done' WHERE name = 'attempt'")
    yield made
    connection.close()


def values(found: dict[str, Figure]) -> dict[str, float | None]:
    return {name: figure.value for name, figure in found.items()}


def test_lengths_shares_and_rates_by_hand(rows: Rows) -> None:
    """70 attempts and corrections one a second, 30 reflections during the first of them: 70 s of generation."""
    found = values(measured(rows.connection, "none", "sft-one-stage"))
    tokens = 40 * 20 + 30 * 30 + 30 * 10
    assert found == {
        "attempt_prompt_tokens": 60,
        "attempt_tokens": 20,
        "reflection_prompt_tokens": 90,
        "reflection_tokens": 30,
        "correction_prompt_tokens": 120,
        "correction_tokens": 10,
        "wrong_share": 0.75,
        "yield_share": 0.5,
        "generation_tokens_per_s": pytest.approx(tokens / 70),
        "load_s": 30,
    }


def test_training_and_curation_by_hand(rows: Rows) -> None:
    """3,000 tokens between the first and the last of four steps, 30 s; 40 s of the stage besides 40 s of steps."""
    reflections = [row[0] for row in rows.connection.execute("SELECT id FROM reflections")]
    kept = [NewCurated("d_plus", number, None, None, number <= 12, "") for number in reflections]
    with write(rows.connection):
        replace_curated(rows.connection, rows.iteration, kept)
    for step, created in enumerate((2010, 2020, 2030, 2040), start=1):
        add_metrics(rows.connection, rows.iteration, "train", step, {"loss": 1.0, "num_tokens": 1000.0 * step})
        rows.connection.execute("UPDATE metrics SET created = ? WHERE step = ?", (created, step))
    rows.connection.execute("UPDATE stages SET started = 1980, ended = 2060, state = 'done' WHERE name = 'train'")
    rows.connection.execute("UPDATE stages SET started = 1200, ended = 1204, done = 30 WHERE name = 'curate'")
    found = values(measured(rows.connection, "none", "sft-one-stage"))
    assert found["training_tokens_per_s"] == 100 and found["training_start_s"] == 40
    assert found["curated_per_s"] == 7.5 and found["examples_per_attempt"] == 12 / 30
    other = values(measured(rows.connection, "none", "dpo-verdict"))
    assert "training_tokens_per_s" not in other and "examples_per_attempt" not in other


def test_a_pause_and_a_second_stage_are_no_slow_steps(rows: Rows) -> None:
    """100 tokens in 10 s each; between them a pause of an hour, and a second trainer that counts from 0."""
    curve = [(0, 100), (10, 200), (20, 300), (3620, 400), (3630, 500), (3640, 50), (3650, 150), (3660, 250)]
    for step, (created, tokens) in enumerate(curve, start=1):
        add_metrics(rows.connection, rows.iteration, "train", step, {"num_tokens": float(tokens)})
        rows.connection.execute("UPDATE metrics SET created = ? WHERE step = ?", (created, step))
    assert values(measured(rows.connection, "none", "sft-one-stage"))["training_tokens_per_s"] == 10


def test_another_model_and_made_up_runs_are_no_measurement(rows: Rows) -> None:
    assert measured(rows.connection, "somebody/else", "sft-one-stage") == {}
    rows.connection.execute("UPDATE runs SET origin = 'synthetic'")
    assert measured(rows.connection, "none", "sft-one-stage") == {}


def test_the_newest_run_of_the_model_counts(rows: Rows) -> None:
    with write(rows.connection):
        add_run(rows.connection, "later", "none", rows.settings.model_dump(mode="json"), "")
    assert measured(rows.connection, "none", "sft-one-stage") == {}
    assert "wrong_share" in measured(rows.connection, "none", "sft-one-stage", rows.run)


def test_a_handful_of_texts_measures_nothing(tmp_path: Path) -> None:
    few = Rows(tmp_path / "few.db")
    for number in range(5):
        few.attempt(few.question(f"q{number}"))
    assert measured(few.connection, "none", "sft-one-stage").keys() <= {"load_s"}
    few.connection.close()


def test_sources_go_before_one_another(rows: Rows, tmp_path: Path) -> None:
    """The paper, then measured values, then the operator's file, then the values given now."""
    workspace = Workspace(tmp_path)
    here = lambda given=None: estimate_here(rows.settings, workspace, rows.connection, given).figures  # noqa: E731
    assert here()["wrong_share"].origin == "measured" and here()["question_tokens"].origin == "reference"
    (tmp_path / FILE_NAME).write_text("wrong_share = 0.2\nload_s = 5\n")
    assert here()["wrong_share"].value == 0.2 and here()["wrong_share"].origin == "given"
    assert here({"load_s": Figure(7, "given", "now")})["load_s"].value == 7


def test_a_machine_without_a_gpu_is_no_gpu_to_pay(rows: Rows, tmp_path: Path) -> None:
    """Counts the GPUs that the engine published; a machine whose engine never ran is assumed to have one."""
    here = lambda: estimate_here(rows.settings, Workspace(tmp_path), rows.connection).figures["gpus"]  # noqa: E731
    assert here().value == 1 and here().origin == "reference"
    with write(rows.connection):
        put_capability(rows.connection, "gpus", [])
    assert here().value == 0 and here().origin == "measured"
    with write(rows.connection):
        put_capability(rows.connection, "gpus", [{"name": "one"}, {"name": "two"}])
    assert here().value == 1


def test_an_iteration_counts_the_questions_it_has(rows: Rows, tmp_path: Path) -> None:
    """Its settings request 100, the run has 40."""
    found = estimate_ahead(rows.connection, Workspace(tmp_path), rows.current())
    assert found.first[0].texts.value == 40 and found.figures["train_questions"].source == "questions of the run"


def test_an_iteration_at_a_gate_owes_what_its_stages_say(rows: Rows, tmp_path: Path) -> None:
    """Before the attempts are done the number of reflections is unknown; afterwards the outstanding work is exact."""
    iterations.set_progress(rows.connection, rows.iteration, "attempt", 40, 40)
    iterations.set_progress(rows.connection, rows.iteration, "reflect", 10, 30)
    owed = owed_now(rows.connection, rows.current(), rows.settings)
    assert (owed.texts, owed.examples, owed.policies) == ({"attempt": 0, "reflect": 20}, None, 2)
    found = estimate_ahead(rows.connection, Workspace(tmp_path), rows.current())
    assert next(one for one in found.first if one.stage == "reflect").generated_tokens.value == 600
