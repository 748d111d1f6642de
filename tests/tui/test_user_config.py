"""Tests the operator's own preferences: alarms, theme, bell, pictures, and the bar of screens at every width."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.registry import SCREENS
from reflectevo_tui.state import user_config
from reflectevo_tui.state.alarms import new_alarms
from reflectevo_tui.state.snapshot import read_snapshot
from reflectevo_tui.state.user_config import OperatorChoices, choices_path, load_choices, save_choices
from reflectevo_tui.widgets.screen_tabs import ScreenTabs
from store.control.liveness import EngineState
from store.runs import iterations


def test_alarms_tell_what_began_and_nothing_twice(build) -> None:
    built = build(4)
    before = read_snapshot(built.writer, built.workspace)
    assert new_alarms(None, before) == () and new_alarms(before, before) == ()
    built.wait_at("train")
    waiting = read_snapshot(built.writer, built.workspace)
    assert [alarm.words for alarm in new_alarms(before, waiting)] == [
        "Iteration 1 is waiting at gate train: press 1, then g."
    ]
    assert new_alarms(waiting, waiting) == ()
    iterations.set_stage(built.writer, built.iteration, "train", "failed", "out of memory")
    iterations.update_iteration(built.writer, built.iteration, state="failed")
    failed = read_snapshot(built.writer, built.workspace)
    found = new_alarms(waiting, failed)
    assert [(alarm.severity, alarm.words) for alarm in found] == [("error", "Stage train failed: out of memory")]
    running = replace(failed, engine=EngineState("running", 7, 0.1))
    assert [alarm.words[:18] for alarm in new_alarms(running, failed)] == ["The engine stopped"]


async def test_a_gate_rings_where_the_operator_chose_so(build, until, monkeypatch) -> None:
    save_choices(OperatorChoices(bell=True))
    built = build(4)
    app = ReflectEvoApp(built.workspace)
    rung: list[bool] = []
    said: list[str] = []
    monkeypatch.setattr(app, "bell", lambda: rung.append(True))
    app.notify = lambda message, **_: said.append(message)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot)
        assert rung == []
        built.wait_at("train")
        await until(pilot, lambda: rung)
        assert any("waiting at gate train" in words for words in said)


async def test_no_colour_is_painted_where_none_is_wanted(build, until, monkeypatch) -> None:
    """NO_COLOR: shades of grey only; glyphs and words convey every state."""
    monkeypatch.setenv("NO_COLOR", "1")
    built = build(10)
    built.wait_at("train")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot and app.snapshot.gate)
        await pilot.pause(0.2)
        strips = app.screen._compositor.render_strips()
        for one in app.get_line_filters():
            strips = [strip.apply_filter(one, app.screen.background_colors[1]) for strip in strips]
        styles = [segment.style for strip in strips for segment in strip if segment.style]
        colours = {c.get_truecolor() for style in styles for c in (style.color, style.bgcolor) if c}
        assert colours and all(max(one) - min(one) <= 2 for one in colours), colours


async def test_a_theme_is_kept_for_the_next_session(build, until) -> None:
    built = build(4)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot)
        app.choose(theme="reflectevo-light")
        await pilot.pause(0.1)
        assert app.theme == "reflectevo-light"
    assert ReflectEvoApp(built.workspace).theme == "reflectevo-light"


def test_choices_survive_damage_and_an_unwritable_place(monkeypatch, tmp_path: Path) -> None:
    assert load_choices() == OperatorChoices()
    wanted = OperatorChoices("reflectevo-light", True, {"mine": {"task": "math"}})
    assert save_choices(wanted) == "" and load_choices() == wanted
    for text in ("[1]", "{", json.dumps({"theme": 3, "bell": "yes", "filters": {"x": [1], "y": {"task": 7}}})):
        choices_path().write_text(text)
        load_choices()
    assert load_choices() == OperatorChoices("3", False, {"y": {"task": "7"}})
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(user_config, "choices_path", lambda: blocked / "x" / "choices.json")
    assert "could not be written" in save_choices(wanted)


async def test_a_picture_of_the_screen_is_saved(build, until) -> None:
    built = build(4)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: list((built.workspace.root / "pictures").glob("monitor-*.svg")))
    picture = next((built.workspace.root / "pictures").glob("*.svg")).read_text()
    assert picture.startswith("<svg") and "Iteration" in picture


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("key", [tab.key for tab in SCREENS.values()])
async def test_every_screen_stands_in_the_bar_at_every_width(empty, until, width, key) -> None:
    app = ReflectEvoApp(empty)
    async with app.run_test(size=(width, 24)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press(f"f{key}")
        mode = next(tab.mode for tab in SCREENS.values() if tab.key == key)
        await until(pilot, lambda: app.current_mode == mode and app.screen.query(ScreenTabs))
        await pilot.pause(0.05)
        bar = app.screen.query_one(ScreenTabs).lines[0]
        assert bar.cell_length <= width
        assert all(f"{tab.key} {tab.title[:3]}" in bar.plain for tab in SCREENS.values())
        assert "? help" in bar.plain
