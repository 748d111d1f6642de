"""Tests of the shipped analyses: each one runs to its end on scripted texts, and its report shows what it varies."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from reflectevo_tui.cli import app
from reflectevo_tui.commands.evaluate import as_json_text, as_table, newest_evaluation
from reflectevo_tui.experiment.drive import drive
from store.settings import RunSettings
from store.settings.recipes import recipe_text
from store.settings.toml_file import dump_settings, load_settings, parse_settings
from tests.support.engines import EngineHarness

Make = Callable[[str], EngineHarness]

REFLECTED_BY = """
SELECT i.number, p.name, count(*) FROM reflections r JOIN iterations i ON i.id = r.iteration_id
JOIN policies p ON p.id = r.policy_id WHERE i.kind = 'training' AND r.protocol = '' GROUP BY 1, 2 ORDER BY 1
"""


def shrunk(name: str, **changes: object) -> str:
    """The settings of a recipe with few questions and without a model."""
    settings = parse_settings(recipe_text(name), name)
    values = settings.model_dump(mode="json")
    for task in values["tasks"]:
        trained = task["role"] == "train"
        task.update(train=10 if trained else 0, dev=2 if trained else 0, test=5)
    values["generation"].update(generator="scripted", concurrency=8)
    values["training"].update(min_examples=1, checkpoint_steps=2)
    # Scripted texts resemble each other.
    values["curation"].update(max_similarity=1.0, max_task_share=1.0)
    return dump_settings(RunSettings.model_validate({**values, "model": "none", **changes}))


def completed(one: EngineHarness) -> str:
    """Run the experiment to its end; returns its report."""
    one.start()
    settings = load_settings(one.workspace.settings_file)
    console = StringIO()
    assert drive(one.workspace, settings, one.workspace.root, Console(file=console)) == 0, console.getvalue()
    place = one.workspace.root / "docs"
    made = CliRunner().invoke(app, ["report", "-w", str(one.workspace.root), "--to", str(place), "--name", "results"])
    assert made.exit_code == 0, made.output
    return (place / "results.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """The part of a report under a title."""
    return text.split(f"## {title}", 1)[1].split("\n## ", 1)[0]


def test_the_series_over_the_size_of_d_plus_is_nested_and_reported(harness: Make) -> None:
    """A smaller training set is part of a larger one; the report shows the rows trained on, the floor and the retry."""
    one = harness(shrunk("analysis-data-size"))
    text = completed(one)
    sizes, kept = [], []
    for number in (1, 2, 3, 4):
        rows = one.rows(
            "SELECT a.question_id, r.instruction, r.sample FROM curated c JOIN reflections r ON r.id = c.reflection_id"
            " JOIN attempts a ON a.id = r.attempt_id JOIN iterations i ON i.id = c.iteration_id"
            " WHERE i.kind = 'training' AND c.set_name = 'd_plus' AND c.included AND i.number ="
            f" (SELECT number FROM iterations WHERE kind = 'training' ORDER BY id LIMIT 1 OFFSET {number - 1})"
        )
        sizes.append(len(rows))
        kept.append(set(rows))
    assert sizes[0] == 8 and sizes[1] > 8, sizes
    assert kept[0] <= kept[1] <= kept[2] <= kept[3]
    reasons = dict(one.rows("SELECT reason, count(*) FROM curated WHERE set_name = 'd_plus' GROUP BY 1"))
    assert reasons["above max_examples"] > 0
    shown = section(text, r"Results over curation.max\_examples")
    for words in ("rows-8, seed 1", "Floor of Acc@t2", "Own retry", "Acc@t2 − own retry (points)", "base policy"):
        assert words in shown, words
    rows_of = [line for line in shown.splitlines() if line.startswith(("| 8 |", "| 16 |", "| 32 |", "| 64 |"))]
    assert len(rows_of) == 4, shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "varies", "values"),
    [
        ("analysis-k", "reflection.samples", ["1", "2", "4"]),
        ("analysis-rounds", "reflection.rounds", ["1", "2", "3"]),
        ("analysis-instructions", "reflection.instructions", ["general", "1-1-1", "random:4"]),
    ],
)
def test_an_analysis_of_sampling_runs_and_shows_its_values(
    harness: Make, name: str, varies: str, values: list[str]
) -> None:
    one = harness(shrunk(name))
    shown = section(completed(one), f"Results over {varies}")
    for value in values:
        assert any(line.startswith(f"| {value} |") for line in shown.splitlines()), (value, shown)


def test_reflections_of_another_source_are_trained_on_but_never_evaluated(harness: Make, tmp_path: Path) -> None:
    """The parent, its child and another model reflect on the same attempts; each row names its author, and in
    evaluations every policy reflects for itself."""
    text = shrunk("analysis-source").rstrip() + (
        '\n\n[[experiment.series]]\nname = "other-model"\nchanges = { reflection = { by = "another-model" } }\n'
    )
    one = harness(text)
    report = completed(one)
    authors = [row[1] for row in one.rows(REFLECTED_BY)]
    assert authors == ["p00", "p01", "reflector"]
    answered = one.rows(
        "SELECT DISTINCT p.name FROM attempts a JOIN policies p ON p.id = a.policy_id JOIN iterations i"
        " ON i.id = a.iteration_id WHERE i.kind = 'training' AND a.protocol = ''"
    )
    assert answered == [("p00",)], "the base policy gives all attempts and corrections"
    strange = one.rows(
        "SELECT count(*) FROM reflections r JOIN attempts a ON a.id = r.attempt_id"
        " WHERE r.protocol <> '' AND r.policy_id <> a.policy_id"
    )
    assert strange == [(0,)]
    shown = section(report, "Results over reflection.by")
    for value in ("policy", "child", "another-model"):
        assert f"| {value} |" in shown


def test_transfer_tasks_are_measured_and_nothing_else(harness: Make) -> None:
    """No rollout, no dev question and no curated row of a transfer task; its results stand apart from the mean."""
    one = harness(shrunk("analysis-transfer"))
    text = completed(one)
    splits = one.rows(
        "SELECT DISTINCT rq.split FROM run_questions rq JOIN questions q ON q.id = rq.question_id"
        " WHERE q.task IN ('gcd', 'count_bits')"
    )
    assert splits == [("test",)]
    trained_on = one.rows(
        "SELECT DISTINCT q.task FROM attempts a JOIN questions q ON q.id = a.question_id WHERE a.protocol = ''"
    )
    assert {row[0] for row in trained_on}.isdisjoint({"gcd", "count_bits"}) and len(trained_on) == 4
    sizes = dict(one.rows("SELECT task, max(n) FROM evaluations WHERE split = 'test' GROUP BY 1"))
    assert (sizes[""], sizes["transfer tasks"], sizes["gcd"]) == (20, 10, 5)
    assert dict(one.rows("SELECT task, max(n) FROM evaluations WHERE split = 'dev' GROUP BY 1"))[""] == 8
    asked = one.rows("SELECT DISTINCT q.task FROM control_texts c JOIN questions q ON q.id = c.question_id")
    assert {row[0] for row in asked}.isdisjoint({"gcd", "count_bits"})
    shown = section(text, "Transfer to tasks that were not trained on")
    for words in ("gcd, Acc@t1", "no floor", "Acc@t2 − base", "two-stage, seed 1, iteration 2"):
        assert words in shown, words
    means = section(text, "Results on the test questions")
    assert "gcd" not in means.split("**By task", 1)[-1].split("Learning over", 1)[0]
    printed = newest_evaluation(one.workspace)
    assert "gcd (transfer)" in as_table(printed) and "trained tasks" in as_table(printed)
    rows = json.loads(as_json_text(printed, None))
    assert {row["task"] for row in rows if row["transfer"]} == {"transfer tasks", "gcd", "count_bits"}
    status = one.status()["iteration"]
    measured = status["child"] or status["parent"]
    assert set(measured["transfer"]["tasks"]) == {"transfer tasks", "gcd", "count_bits"}
