"""Every Acc@t2 under an oracle stands beside its floor: Monitor, the promote gate and Lineage, large and small."""

from __future__ import annotations

import pytest
from textual.widgets import Static

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.widgets.comparison_lines import comparison_lines
from reflectevo_tui.widgets.line_panel import LinePanel
from reflectevo_tui.widgets.metric_chart import MetricChart
from store.evaluation.comparisons import difference
from store.runs import policies

SIZES = [(160, 50), (80, 24)]


def accuracy_title(app: ReflectEvoApp) -> str:
    return str(app.screen.query_one("#accuracy", MetricChart).border_title)


@pytest.mark.parametrize("size", SIZES)
async def test_monitor_draws_the_floor_beside_both_accuracies(build, until, screen_text, size) -> None:
    built = build(4)
    built.add_child()
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "52.0 %" in accuracy_title(app))
        assert accuracy_title(app) == "Acc@t1 ● 44.0 % · Acc@t2 ○ 52.0 % · floor ▪ 50.0 %"
        if size[0] == 80:
            await pilot.press("c")
        await until(pilot, lambda: "floor ▪ 50.0 %" in screen_text(app))
        chart = app.screen.query_one("#accuracy", MetricChart)
        assert [one.mark for one in chart._series] == ["●", "○", "▪"]
        assert [value for _, value in chart._series[2].points] == [50.0, 50.0]


async def test_monitor_says_where_a_floor_is_missing(build, until) -> None:
    """An evaluation of an earlier version has none; without an oracle there is none to show."""
    built = build(4)
    built.evaluate(built.policy, 0.41, 0.47, floor=None)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "47.0 %" in accuracy_title(app))
        assert accuracy_title(app).endswith("floor ▪ not computed")


@pytest.mark.parametrize("size", SIZES)
async def test_the_promote_gate_shows_floor_own_retry_and_what_follows(build, until, screen_text, size) -> None:
    built = build(10)
    built.add_child()
    built.wait_at("none")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot and app.snapshot.gate == "promote")
        await pilot.press("g")
        await until(pilot, lambda: "floor 50.0 % (not clearly above) · own retry 50.0 %" in screen_text(app))
        shown = screen_text(app)
        assert "floor 50.0 % (not above) · own retry 44.4 %" in shown, "of the parent"
        words = str(app.screen.query_one("#facts", Static).content)
        assert "Acc@t2 rose from 45.8 % to 52.0 %, but guessing reaches 50.0 % without a model" in words
        assert "Acc@t2 rose from" in shown, "without scrolling"
        assert "this can't be distinguished from no gain with n = 120." in words


@pytest.mark.parametrize("size", SIZES)
async def test_lineage_shows_the_floor_in_the_tree_and_of_the_policy(build, until, screen_text, size) -> None:
    built = build(4)
    built.add_child()
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("5")
        await until(pilot, lambda: "─ p01" in screen_text(app))
        lines = screen_text(app).splitlines()
        (heads,) = (line for line in lines if "Acc@t2" in line and "state" in line)
        (row,) = (line for line in lines if "─ p01" in line)
        end = heads.index("floor") + len("floor")
        assert row[end - len("50.0 %") : end] == "50.0 %", "under its title"
        panel = app.screen.query_one("#comparison", LinePanel)
        await until(pilot, lambda: any("floor 50.0 %" in line.plain for line in panel.lines))
        told = "\n".join(line.plain for line in panel.lines)
        assert "floor 50.0 % (not clearly above)" in told and "own retry 50.0 %" in told


async def test_an_oracle_free_measurement_has_no_floor(build, until) -> None:
    built = build(4)
    metrics = {name: {"value": 0.4, "n": 9} for name in ("acc_t1", "acc_t2")}
    policies.put_evaluation(
        built.writer, policy_id=built.policy, iteration_id=None, protocol="oracle-free/x", task="", n=9, metrics=metrics
    )
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("5")
        panel = app.screen.query_one("#comparison", LinePanel)
        await until(pilot, lambda: any("oracle-free" in line.plain for line in panel.lines))
        lines = [line.plain for line in panel.lines]
        after = lines[next(place for place, line in enumerate(lines) if "oracle-free" in line) + 1]
        assert "floor" not in after


def test_a_comparison_names_both_floors_under_an_oracle_only() -> None:
    differences = {("", "t1"): difference([(1, False, True)]), ("", "t2"): difference([(1, False, True)])}
    a = {"acc_t2": {"value": 0.522, "low": 0.4}, "floor_t2": {"value": 0.778, "n": 90}, "acc_retry": {"value": 0.556}}
    b = {"acc_t2": {"value": 0.9, "low": 0.82}}
    text = "\n".join(line.plain for line in comparison_lines("p00", "p01", "oracle/1", differences, (a, b)))
    assert "A Acc@t2 52.2 % · floor 77.8 % (not above) · own retry 55.6 %" in text
    assert "B Acc@t2 90.0 % · floor not computed" in text
    free = "\n".join(line.plain for line in comparison_lines("p00", "p01", "oracle-free/1", differences, (a, b)))
    assert "floor" not in free
