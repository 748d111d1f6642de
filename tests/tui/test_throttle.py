"""Tests the bytes of a busy run: counters are painted at a limited rate, a change of stage immediately."""

from __future__ import annotations

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.monitor import MonitorScreen
from reflectevo_tui.terminal.throttle import Throttle
from reflectevo_tui.widgets.newest_trajectories import NewestList
from reflectevo_tui.widgets.stage_rail import StageRail
from store.runs import iterations


def test_the_first_is_let_through_and_then_one_each_time() -> None:
    now = [100.0]
    pace = Throttle(4.0, lambda: now[0])
    assert pace.due() and not pace.due()
    now[0] = 103.9
    assert not pace.due()
    assert pace.due(urgent=True), "what must be seen is never held back"
    now[0] = 107.0
    assert not pace.due(), "the urgent one counts too"
    now[0] = 107.9
    assert pace.due()


async def test_rows_are_held_back_and_a_gate_is_not(build, until, screen_text) -> None:
    built = build(10)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot and app.snapshot.newest)
        screen = app.screen
        assert isinstance(screen, MonitorScreen)
        rows = screen.query_one(NewestList)
        before = rows.lines
        # As if the list had just been painted: the rate itself is tested above, without a clock.
        screen._list = Throttle(1e9)
        screen._list.due()
        seen = app.snapshot
        built.add_trajectories(4, start=100)
        await until(pilot, lambda: app.snapshot is not seen and app.snapshot.newest != seen.newest)
        await pilot.pause(0.2)
        assert rows.lines == before
        built.wait_at("train")
        await until(pilot, lambda: "GATE" in "\n".join(line.plain for line in screen.query_one(StageRail).lines))
        await until(pilot, lambda: rows.lines != before)
        iterations.update_iteration(built.writer, built.iteration, state="done")
        await until(pilot, lambda: "done" in screen_text(app))
