"""Tests of running experiments: every series and measurement once, whatever the interruptions, and a complete
report.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from reflectevo_tui.cli import app
from reflectevo_tui.experiment.drive import ExperimentRefused, drive, known_of
from reflectevo_tui.experiment.plan import Complete, missing, next_step
from store.database.connection import open_reader, read
from store.settings import RunSettings
from store.settings.run import measuring
from store.settings.toml_file import load_settings
from tests.support.engines import REFLECTED, WORK, EngineHarness
from tests.support.experiments import experiment_settings
from tests.support.waiting import communicate, wait_for_exit

Make = Callable[[str], EngineHarness]

DONE = "SELECT kind, state, count(*) FROM iterations GROUP BY 1, 2 ORDER BY 1, 2"
SERIES = """
SELECT json_extract(i.settings, '$.series'), json_extract(i.settings, '$.seed'), p.name
FROM iterations i JOIN policies p ON p.id = i.parent_id WHERE i.kind = 'training' ORDER BY i.id
"""


def settings_of(one: EngineHarness) -> RunSettings:
    return load_settings(one.workspace.settings_file)


def driven(one: EngineHarness) -> int:
    return drive(one.workspace, settings_of(one), one.workspace.root, Console(file=StringIO()))


def command(one: EngineHarness, *arguments: str) -> subprocess.Popen[str]:
    """`reflectevo`, in its own process."""
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from reflectevo_tui.cli import main; main()",
            *arguments,
            "-w",
            str(one.workspace.root),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "REFLECTEVO_SCRIPTED_DELAY": "0.01"},
    )


def test_an_experiment_runs_every_series_and_measures_every_policy(harness: Make, tmp_path: Path) -> None:
    """A complete experiment: series from the base policy, the best one again, everything on the same test questions."""
    one = harness(experiment_settings(tmp_path, promote="always"))
    one.start()
    assert driven(one) == 0
    known = known_of(one.workspace, settings_of(one))
    assert isinstance(next_step(settings_of(one), known), Complete) and missing(settings_of(one), known) == []
    rows = one.rows(SERIES)
    assert rows[:4] == [("qa", 3, "p00"), ("two-stage", 3, "p00"), ("two-stage", 3, "p02"), ("dpo", 3, "p00")]
    again = [row[0] for row in rows[4:]]
    assert again in (["two-stage"] * 2, ["dpo"]), "the best series is run again, whole"
    assert [row[1:] for row in rows[4:]] == [(4, "p00"), (4, "p05")][: len(again)]
    policies = 1 + len(rows)
    # Each policy on each test question, and on no question of another split.
    asked = one.rows(
        "SELECT a.policy_id, q.split, count(DISTINCT a.question_id) FROM attempts a JOIN iterations i"
        " ON i.id = a.iteration_id JOIN run_questions q ON q.question_id = a.question_id"
        " WHERE i.kind = 'evaluation' AND a.turn = 1 AND a.sample = 0 GROUP BY 1, 2"
    )
    assert [row[1:] for row in asked] == [("test", 16)] * policies
    # Within the iterations, the dev questions decided.
    gate = one.rows(
        "SELECT DISTINCT q.split FROM attempts a JOIN iterations i ON i.id = a.iteration_id"
        " JOIN run_questions q ON q.question_id = a.question_id WHERE i.kind = 'training' AND a.protocol <> ''"
    )
    assert gate == [("dev",)]
    # First attempts of the base policy were generated once, and so were the reflections of series under one seed.
    taken = dict(
        one.rows(
            "SELECT i.number, sum(a.reused_from IS NOT NULL) FROM attempts a JOIN iterations i ON i.id = a.iteration_id"
            " WHERE i.kind = 'training' AND a.protocol = '' AND a.turn = 1 GROUP BY 1"
        )
    )
    assert [taken[number] for number in range(1, 6)] == [0, 24, 0, 24, 24]
    reflected = dict(
        one.rows(
            "SELECT i.number, sum(r.reused_from IS NOT NULL) FROM reflections r JOIN iterations i"
            " ON i.id = r.iteration_id WHERE r.protocol = '' GROUP BY 1"
        )
    )
    assert reflected[2] == reflected[4] > 0 == reflected[5], "another seed reflects anew"
    assert one.rows("SELECT count(*) FROM baseline_outcomes WHERE baseline = 'vote_budget'")[0][0] > 0

    report = CliRunner().invoke(
        app, ["report", "-w", str(one.workspace.root), "--to", str(tmp_path / "docs"), "--name", "results"]
    )
    assert report.exit_code == 0, report.output
    text = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    for words in (
        *("What was compared", "Results on the test questions", "Paired tests", "Format and reasoning apart"),
        *("Learning over the iterations", "Every iteration, and what it cost", "Yield of the reflection instructions"),
        *("Reflections in full", "Mean over tasks, oracle protocol", "Mean over tasks, oracle-free protocol"),
        *(
            "By task, Acc@t1, oracle protocol",
            "By task, Acc@t2, oracle protocol",
            "By task, Acc@t2, oracle-free protocol",
        ),
        *("majority vote at equal tokens", "retries at equal tokens, voted", "two-stage, seed 3, iteration 2"),
        *("retries at equal tokens, a verdict after each", "Acc@t2: its own one retry without reflection"),
        *("seed 4, iteration 1", "Recipes tried before this one, on dev questions:** 4", "Correct if always given"),
        r"Scripted: \*nothing\* here comes from a model.",
    ):
        assert words in text, words
    assert "Missing:" not in text
    assert (tmp_path / "docs" / "results.html").exists()
    numbers = json.loads(CliRunner().invoke(app, ["report", "-w", str(one.workspace.root), "--json"]).stdout)
    found = numbers["experiment"]
    assert len(found["iterations"]) == len(rows) and found["missing"] == []
    base = next(row for row in found["measured"] if row["label"] == "base" and row["feedback"] == "oracle")
    # Of several protocols the report uses the one with the most baselines.
    stored = max(
        (
            row
            for row in numbers["evaluations"]
            if (row["policy"], row["task"], row["split"]) == ("p00", "", "test")
            and row["protocol"].startswith("oracle/")
        ),
        key=lambda row: len(row["metrics"]),
    )
    # With tasks of one size the mean over tasks is the mean over questions that the engine stored.
    assert base["acc_t1"]["value"] == pytest.approx(stored["metrics"]["acc_t1"]["value"])
    assert base["acc_t2"]["value"] == pytest.approx(stored["metrics"]["acc_t2"]["value"])
    assert base["floor"] == pytest.approx(stored["metrics"]["floor_t2"]["value"]), "tasks of one size again"
    assert all(row["floors"] == {} for row in found["measured"] if row["feedback"] == "oracle-free")
    assert {"gain", "none", "unclear", "unknown"} >= {gain["verdict"] for gain in found["gains"].values()}
    assert found["gains"] and not any("not computed" in gain["sentence"] for gain in found["gains"].values())
    assert "Floor of Acc@t2" in text and "By task, floor of Acc@t2, oracle protocol" in text
    for against in found["against"]:
        assert against["paired"]["overall"]["n"] <= 16
    for one_format in found["formats"]:
        assert one_format["verified"] == 16


def test_killed_between_it_goes_on_where_it_was(harness: Make, tmp_path: Path) -> None:
    """First the engine is killed, then the command: the same texts as without the kills, none twice."""
    text = experiment_settings(tmp_path, iterations=1, seeds="[]", promote="always")
    straight, broken = harness(text), harness(text)
    straight.start()
    assert driven(straight) == 0

    def reflecting(number: int) -> Callable[[], bool]:
        query = (
            "SELECT count(*) FROM reflections r JOIN iterations i ON i.id = r.iteration_id"
            f" WHERE i.kind = 'training' AND i.number = {number}"
        )
        return lambda: broken.rows(query)[0][0] > 2

    first = command(broken, "experiment")
    broken.wait(reflecting(1))
    broken.kill()
    assert wait_for_exit(first) == 6, "the command says that the engine is gone"
    second = command(broken, "experiment")
    broken.wait(reflecting(2))
    second.send_signal(signal.SIGKILL)
    second.wait()
    third = command(broken, "experiment", "--json")
    printed, said = communicate(third)
    assert third.returncode == 0, said
    assert json.loads(printed) == {"complete": True, "next": "complete", "missing": []}
    assert broken.rows(WORK) == straight.rows(WORK)
    assert broken.rows(REFLECTED) == straight.rows(REFLECTED)
    assert broken.rows(DONE) == straight.rows(DONE)
    # A fourth time there is nothing to do.
    before = broken.rows("SELECT count(*), max(id) FROM directives")
    assert driven(broken) == 0
    assert broken.rows("SELECT count(*), max(id) FROM directives") == before


def test_a_series_without_enough_examples_is_a_result_and_is_named(harness: Make, tmp_path: Path) -> None:
    """Too few pairs do not end the experiment: the iteration is abandoned, the others run, the report names what is
    missing.
    """
    text = experiment_settings(tmp_path, iterations=1, seeds="[]", promote="always", min_pairs=500)
    one = harness(text)
    one.start()
    assert driven(one) == 0
    known = known_of(one.workspace, settings_of(one))
    (lack,) = missing(settings_of(one), known)
    assert lack.startswith("dpo, seed 3: iteration 1 left no policy (abandoned by ") and "too few" in lack
    result = CliRunner().invoke(app, ["report", "-w", str(one.workspace.root), "--format", "md"])
    assert result.exit_code == 0, result.output
    text = (one.workspace.root / "reports" / "proof.md").read_text(encoding="utf-8")
    assert "Missing: dpo, seed 3: iteration 1 left no policy" in text


def test_a_report_of_half_an_experiment_names_what_is_missing(harness: Make, tmp_path: Path) -> None:
    """The available numbers, and a list of every missing part."""
    one = harness(experiment_settings(tmp_path))
    one.start()
    settings = settings_of(one)
    assert settings.experiment is not None
    one.issue(
        "evaluate",
        settings=settings.model_dump(mode="json"),
        evaluation=measuring(settings, "each").evaluation.model_dump(mode="json"),
        base_directory=str(tmp_path),
        policy=None,
    )
    one.wait_state("done")
    from reflectevo_tui.report.markdown import to_markdown
    from reflectevo_tui.report.report_contents import gather
    from reflectevo_tui.report.sections import lay_out
    from store.runs.runs import run_named

    with closing(open_reader(one.workspace.database)) as connection, read(connection):
        run = run_named(connection, "proof")
        assert run is not None
        text = to_markdown(lay_out(gather(connection, run)))
    for words in (
        "Missing: qa, seed 3: 0 of 1 iterations ended",
        "Missing: two-stage, seed 3: 0 of 2 iterations ended",
        "Missing: the best series was not repeated with seeds 4: the first series have not all ended",
        "| base | p00 |",
    ):
        assert words in text, words


def test_an_experiment_begun_with_other_settings_is_refused(harness: Make, tmp_path: Path) -> None:
    """Policies trained or measured differently don't belong in one comparison; remarks may change."""
    one = harness(experiment_settings(tmp_path))
    one.start()
    settings = settings_of(one)
    one.issue("evaluate", settings=settings.model_dump(mode="json"), base_directory=str(tmp_path), policy=None)
    assert settings.experiment is not None
    told = settings.experiment.model_copy(update={"remarks": ["news"], "recipes_tried": 9})
    assert known_of(one.workspace, settings.model_copy(update={"experiment": told})).iterations
    other = settings.model_copy(update={"training": settings.training.model_copy(update={"learning_rate": 0.5})})
    with pytest.raises(ExperimentRefused, match="started with other settings in training"):
        known_of(one.workspace, other)
    with pytest.raises(ExperimentRefused, match=r"experiment\.series"):
        fewer = settings.experiment.model_copy(update={"series": settings.experiment.series[:2]})
        known_of(one.workspace, settings.model_copy(update={"experiment": fewer}))


def test_a_failure_is_tried_again_once_and_then_stops_with_everything_kept(harness: Make, tmp_path: Path) -> None:
    """A missing model is not a result: no iteration is abandoned, and the next call retries the same step."""
    one = harness(experiment_settings(tmp_path).replace('"none"', '"/nowhere"').replace('"scripted"', '"transformers"'))
    one.start()
    for calls, resumed in ((1, 1), (2, 2)):
        assert driven(one) == 3, calls
        kinds = one.rows("SELECT kind, count(*) FROM directives GROUP BY 1 ORDER BY 1")
        assert kinds == [("evaluate", 1), ("resume", resumed)]
    assert one.rows("SELECT kind, state FROM iterations") == [("evaluation", "failed")]


def test_a_dry_run_says_what_would_come_and_starts_nothing(harness: Make, tmp_path: Path) -> None:
    """Before the first hour, as text and as JSON."""
    one = harness(experiment_settings(tmp_path))
    said = CliRunner().invoke(app, ["experiment", "-w", str(one.workspace.root), "--dry-run"]).output
    assert said.startswith("next: measuring p00 on the test questions (the base policy, with its baselines)")
    assert "missing: two-stage, seed 3: 0 of 2 iterations ended" in said
    told = json.loads(
        CliRunner().invoke(app, ["experiment", "-w", str(one.workspace.root), "--dry-run", "--json"]).output
    )
    assert told["complete"] is False and len(told["missing"]) == 5
    assert one.engine_pid() is None and one.rows("SELECT count(*) FROM directives") == [(0,)]


def test_without_an_experiment_the_command_says_so(harness: Make, tmp_path: Path) -> None:
    """Settings of an ordinary run define no experiment."""
    text = experiment_settings(tmp_path)
    one = harness(text[: text.index("[experiment]")])
    result = CliRunner().invoke(app, ["experiment", "-w", str(one.workspace.root)])
    assert result.exit_code == 1 and "describes no experiment" in result.output
