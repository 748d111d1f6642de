"""Tests a terminal that stays open over iterations, a rejected policy and a second run, with changes of screens."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.app import App, ComposeResult

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.text import display
from reflectevo_tui.widgets.metric_chart import FIRST, SECOND, MetricChart, Series
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings

SOME = ((1, 2.0), (2, 1.5), (3, 1.2))


class Charted(App[None]):
    """An application with one chart."""

    def compose(self) -> ComposeResult:
        """Compose a chart that fills the screen."""
        yield MetricChart("Training", "no curves yet", id="training")


@pytest.mark.parametrize(
    ("points", "ticks"),
    [
        pytest.param((), (), id="none"),
        pytest.param((), ((1.0, "1 p01"),), id="ticks without points"),
        pytest.param(((7, 0.5),), (), id="one point"),
        pytest.param(((3, 1.0), (1, 2.0)), (), id="steps that go back"),
        pytest.param(((1, math.nan), (2, math.inf), (3, 1.0)), (), id="not finite"),
        pytest.param(((1, -math.inf),), (), id="nothing finite"),
        pytest.param(((0, 0.0), (0, 0.0)), (), id="one place twice"),
        pytest.param(((1, 1e300), (2, -1e300)), (), id="enormous"),
    ],
)
async def test_a_chart_goes_from_any_curves_to_any(screen_text, points, ticks) -> None:
    """Some → those of the case → none → some again: every change is drawn, and none ends the application."""
    app = Charted()
    async with app.run_test(size=(80, 24)) as pilot:
        chart = app.query_one(MetricChart)
        for now, labels in ((SOME, ()), (points, ticks), ((), ()), (points, ticks), (SOME, ())):
            for second in (now, ()):
                series = (Series(now, FIRST), Series(second, SECOND, mark="○", side="right"))
                chart.show_series(display.line("Training"), series, labels)
                await pilot.pause()
                finite = any(math.isfinite(value) for _, value in now)
                assert ("no curves yet" in screen_text(app)) is not finite


async def test_a_viewer_stays_open_over_iterations_a_rejection_and_a_second_run(
    harness: Callable[[str], EngineHarness], until, screen_text, tmp_path: Path
) -> None:
    """The Monitor of one terminal sees three iterations end, a policy rejected and another run begin."""
    one = harness(quiz_settings(tmp_path, 'gates = ["promote"]', train=6, test=4))
    one.start()
    app = ReflectEvoApp(one.workspace)

    def at(number: int, state: str) -> Callable[[], bool]:
        def reached() -> bool:
            iteration = app.snapshot.iteration if app.snapshot else None
            return iteration is not None and (iteration.number, iteration.state) == (number, state)

        return reached

    async with app.run_test(size=(160, 50)) as pilot:
        for number in (1, 2, 3):
            one.run()
            await until(pilot, at(number, "waiting"))
            if number == 2:
                await pilot.press("5")
            one.issue("reject" if number == 2 else "approve", stage="promote")
            await until(pilot, at(number, "done"))
            if number == 2:
                await pilot.press("1")
            await pilot.pause(0.3)
            assert f"iteration {number}" in screen_text(app)
        first_run = app.snapshot.run.id if app.snapshot and app.snapshot.run else None
        (tmp_path / "other.toml").write_text(
            quiz_settings(tmp_path, 'gates = ["promote"]', train=5, test=4).replace('"scripted"', '"other"', 1)
        )
        one.run(tmp_path / "other.toml")
        await until(pilot, lambda: app.snapshot and app.snapshot.run and app.snapshot.run.id != first_run)
        await until(pilot, at(1, "waiting"))
        await pilot.press("7", "1")
        await pilot.pause(0.3)
        assert "run other" in screen_text(app)
        assert app.is_running
