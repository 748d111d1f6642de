"""Tests of controls on the command line, the Monitor, in status and in reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.cli import app
from reflectevo_tui.engine_client.status import describe_status
from reflectevo_tui.report.report_contents import as_json, gather
from reflectevo_tui.report.sections import lay_out
from reflectevo_tui.text.control_words import TITLE, control_rows, control_table, remarks, short_line
from reflectevo_tui.widgets.control_panel import ControlPanel
from store.database.connection import reading
from store.evaluation.control_analysis import analyse_controls
from store.runs.runs import list_runs
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings

Make = Callable[[str], EngineHarness]


async def test_controls_are_shown_everywhere(harness: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command prints cost, table and JSON; Monitor, status and report show the same sentence."""
    monkeypatch.setenv("REFLECTEVO_SCRIPTED_READING", "ignores")
    one = harness(quiz_settings(tmp_path, train=4, test=12))
    place = ["-w", str(one.workspace.root)]
    run = CliRunner().invoke
    dry = run(app, [*place, "eval", "--controls", "--dry-run"])
    assert dry.exit_code == 0 and dry.output.startswith("controls: about 12 wrong answers × ")
    assert run(app, [*place, "eval", "--dry-run"]).exit_code == 1
    assert run(app, [*place, "eval", "p00", "--policy", "p01"]).exit_code == 1
    found = run(app, [*place, "eval", "p00", "--controls", "--json"])
    assert found.exit_code == 0, found.output
    assert "controls: " in found.stderr
    printed = json.loads(found.stdout)
    results = printed["controls"]["p00"]
    sentence = results["analysis"]["sentence"]
    again = run(app, [*place, "eval", "p00", "--controls"])
    assert again.exit_code == 0 and f"{TITLE} p00: {sentence}" in again.stdout
    status = one.status()
    assert status["iteration"]["controls"]["p00"]["analysis"]["sentence"] == sentence
    assert f"controls   p00 · {sentence}" in describe_status(status)
    with reading(one.workspace.database) as connection:
        report = gather(connection, list_runs(connection)[0])
    assert as_json(report)["controls"][0]["analysis"]["sentence"] == sentence
    assert TITLE in [section.title for section in lay_out(report).sections]
    for size, height in (((160, 50), 13), ((80, 24), 3)):
        terminal = ReflectEvoApp(one.workspace)
        async with terminal.run_test(size=size) as pilot:
            while terminal.snapshot is None:
                await pilot.pause(0.05)
            await pilot.pause()
            panel = terminal.screen.query_one(ControlPanel)
            assert panel.display and panel.size.height >= height - 2
            assert sentence[:40] in str(panel.render())
            if size == (80, 24):
                assert "told" in str(panel.render()).splitlines()[1][:78]


def test_an_analysis_without_any_answer_is_formatted() -> None:
    """No wrong answer at all: every number is missing, and the reason is printed."""
    results = {
        "first_answers": "own",
        "answered": 5,
        "wrong": 0,
        "unavailable": {"shuffled-1": "all wrong answers are the same"},
        "remarks": [],
        "analysis": json.loads(json.dumps(analyse_controls({}, {}, {}).as_json())),
        "judgement": None,
    }
    assert [row.arm for row in control_rows(results)] == ["floor"]
    assert short_line(results) == "floor –"
    assert "not measured: shuffled (all wrong answers are the same)" in remarks(results)
    assert any("no first answer was wrong" in line for line in control_table("p00", results))
