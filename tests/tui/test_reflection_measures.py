"""Tests of the measures of reflections on Monitor, in the status and in reports: the same numbers everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.engine_client.status import collect_status, describe_status
from reflectevo_tui.report.report_contents import as_json, gather
from reflectevo_tui.report.sections import lay_out
from reflectevo_tui.widgets.reflection_panel import NEWEST, ReflectionPanel, reflection_lines
from store.control.telemetry import add_metrics
from store.curation.reflection_measures import ReflectionMeasures, measures_words, reflection_measures
from store.database.connection import write
from store.runs import iterations
from store.runs.runs import get_run
from store.workspace import Workspace
from tests.support.rows import Rows

FIRST = ReflectionMeasures(0.21, 0.62, 0.32, None, None)
SECOND = ReflectionMeasures(0.34, 0.41, 0.05, 0.035, 0.08)


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """A workspace whose two iterations are curated."""
    one = Rows(Workspace(tmp_path).database)
    for measures in (FIRST, SECOND):
        with write(one.connection):
            add_metrics(one.connection, one.iteration, "curate", 0, measures.stored())
        if measures is FIRST:
            stored = one.settings.model_dump(mode="json")
            one.iteration = iterations.add_iteration(one.connection, one.run, one.policy, stored, 0)
    return one


def test_measures_are_read_as_they_were_stored(rows: Rows) -> None:
    """An iteration curated by an earlier version has the first two only."""
    assert reflection_measures(rows.connection, rows.run) == {1: FIRST, 2: SECOND}
    rows.connection.execute("DELETE FROM metrics WHERE name IN ('grounded_share', 'novel_share', 'mean_novelty')")
    assert reflection_measures(rows.connection, rows.run)[1] == ReflectionMeasures(0.21, 0.62, None, None, None)
    rows.connection.execute("DELETE FROM metrics")
    assert reflection_measures(rows.connection, rows.run) == {}


def test_status_and_report_show_the_measures(rows: Rows, tmp_path: Path) -> None:
    """In words and as JSON values; a missing measurement is null."""
    status = collect_status(Workspace(tmp_path))
    shown = status["iteration"]["reflections"]
    assert (shown["grounded"], shown["novel"], shown["similarity"]) == (0.05, 0.035, 0.34)
    words = "similarity 0.34 · distinct 3-grams 41 % · grounded 5 % · novel 4 % · novelty 0.08"
    assert shown["words"] == words == measures_words(SECOND)
    assert f"curation   reflections · {words}" in describe_status(status)
    report = gather(rows.connection, get_run(rows.connection, rows.run))
    stored = as_json(report)["reflections"]
    assert [one["iteration"] for one in stored] == [1, 2]
    assert stored[0]["novel"] is None and stored[1]["novel"] == 0.035
    (section,) = (one for one in lay_out(report).sections if one.title == "What the reflections say")
    assert ("2", "0.34", "41 %", "5 %", "4 %", "0.08") in section.blocks[0].rows  # type: ignore[union-attr]


def test_nothing_is_shown_before_the_first_curation(tmp_path: Path) -> None:
    """Neither a section of dashes nor a line."""
    one = Rows(Workspace(tmp_path).database)
    status = collect_status(Workspace(tmp_path))
    assert status["iteration"]["reflections"] is None
    assert "reflections" not in describe_status(status)
    report = gather(one.connection, get_run(one.connection, one.run))
    assert as_json(report)["reflections"] == []
    assert all(section.title != "What the reflections say" for section in lay_out(report).sections)


def test_the_panel_shows_the_newest_iterations_first() -> None:
    """In columns of one width."""
    lines = [str(line) for line in reflection_lines(dict.fromkeys(range(1, 13), SECOND))]
    assert [line.split()[0] for line in lines[1:]] == ["12", "11", "10", "9"]
    assert len(lines) == NEWEST + 1
    assert len({len(line) for line in lines}) == 1
    assert max(len(line) for line in lines) < 76


@pytest.mark.parametrize(("size", "shown"), [((160, 50), True), ((80, 24), False)])
async def test_monitor_shows_the_measures(rows: Rows, tmp_path: Path, size: tuple[int, int], shown: bool) -> None:
    """A small terminal has room for them with the charts only."""
    terminal = ReflectEvoApp(Workspace(tmp_path))
    async with terminal.run_test(size=size) as pilot:
        while terminal.snapshot is None:
            await pilot.pause(0.05)
        await pilot.pause()
        panel = terminal.screen.query_one(ReflectionPanel)
        assert panel.display is shown
        if not shown:
            await pilot.press("c")
            await pilot.pause()
        assert panel.display
        assert "grounded" in str(panel.render()) and "4 %" in str(panel.render())
