"""Tests that a key is answered before the next frame, and that a held key paints no more often than frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from textual import constants
from textual._compositor import Compositor, LayoutUpdate
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.dialogs.help import HelpDialog
from reflectevo_tui.screens.trajectories import TrajectoriesScreen
from reflectevo_tui.state.messages import SnapshotRead
from reflectevo_tui.terminal.immediate_repaint import PROMPT_FRAMES, PROMPT_SECONDS, REPEAT_SECONDS, Dialog, KeyLatency
from reflectevo_tui.widgets.hardware_table import HardwareTable
from reflectevo_tui.widgets.trajectory_list import TrajectoryList


class Clock:
    """A clock that tests set explicitly."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_key_has_a_right_to_some_repaints_for_a_moment() -> None:
    clock = Clock()
    promptness = KeyLatency(clock)
    assert not promptness.take(), "nothing was pressed"
    promptness.key()
    assert [promptness.take() for _ in range(PROMPT_FRAMES + 1)] == [True] * PROMPT_FRAMES + [False]
    clock.now += 1
    promptness.key()
    clock.now += PROMPT_SECONDS + 0.01
    assert not promptness.take(), "what comes later is not the answer to the key"


def test_a_held_key_keeps_to_the_frames() -> None:
    clock = Clock()
    promptness = KeyLatency(clock)
    promptness.key()
    for _ in range(30):
        clock.now += REPEAT_SECONDS - 0.01
        promptness.key()
        assert not promptness.take()
    clock.now += REPEAT_SECONDS + 0.01
    promptness.key()
    assert promptness.take()


async def test_the_next_screen_is_there_before_its_frame(build, until, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no frame for hours keys are still answered: a screen, a dialog over it, the way back."""
    monkeypatch.setattr(constants, "MAX_FPS", 0.0001)
    monkeypatch.setattr("textual.screen.UPDATE_PERIOD", 10_000.0)
    app = ReflectEvoApp(build(40).workspace)
    painted: list[str] = []
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot)
        shown = app._display

        def display(screen: object, renderable: object) -> None:
            if renderable is not None:
                painted.append(type(screen).__name__)
            shown(screen, renderable)  # type: ignore[arg-type]

        monkeypatch.setattr(app, "_display", display)
        for key, name in (
            ("2", "TrajectoriesScreen"),
            ("question_mark", "HelpDialog"),
            ("escape", "TrajectoriesScreen"),
        ):
            painted.clear()
            app.promptness = KeyLatency()
            await pilot.press(key)
            await until(pilot, lambda name=name: name in painted)


async def test_dialogs_keep_the_look_of_dialogs(empty, until) -> None:
    """Textual takes styles from the first base class alone; without those of a modal screen a dialog is not centred."""
    app = ReflectEvoApp(empty)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpDialog) and app.screen.query(".dialog"))
        assert isinstance(app.screen, Dialog) and app.screen.styles.align == ("center", "middle")


async def test_a_jump_paints_nothing_before_its_row_is_there(build, until, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default, Textual paints the whole screen four times while a dialog closes, the first time without the page."""
    app = ReflectEvoApp(build(900).workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await pilot.press("2")
        rows = app.screen.query_one(TrajectoryList)
        await until(pilot, lambda: rows.total == 900 and rows.row_at(0))
        await pilot.press("colon", *"750")
        await until(pilot, lambda: app.screen.query_one(Input).value == "750")
        await pilot.pause(0.3)
        whole: list[bool] = []
        shown = app._display

        def display(screen: Screen[object], renderable: object) -> None:
            if isinstance(renderable, LayoutUpdate) and not app._batch_count:
                whole.append(rows.row_at(rows.cursor) is not None and rows.cursor == 749)
            shown(screen, renderable)  # type: ignore[arg-type]

        monkeypatch.setattr(app, "_display", display)
        await pilot.press("enter")
        await until(pilot, lambda: rows.row_at(749) and not app._batch_count)
        await pilot.pause(0.3)
    assert whole and all(whole), whole


async def test_the_start_reads_the_styles_once_and_renders_its_first_frame_once(
    build, until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default, Textual reads the style sheet again for its initial theme, and renders panels while they are still
    empty.
    """
    whole: list[bool] = []
    read: list[int] = []
    rendered, reparsed = Compositor.render_full_update, Stylesheet.reparse
    app = ReflectEvoApp(build(40).workspace)

    def render(compositor: Compositor, simplify: bool = False) -> LayoutUpdate:
        whole.append(app.snapshot is not None)
        return rendered(compositor, simplify)

    def reparse(styles: Stylesheet) -> None:
        read.append(1)
        reparsed(styles)

    monkeypatch.setattr(Compositor, "render_full_update", render)
    monkeypatch.setattr(Stylesheet, "reparse", reparse)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: whole)
        assert not read and all(whole)
        app.theme = "reflectevo-light"
        await until(pilot, lambda: read)
        light = app.screen.styles.background
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.screen, TrajectoriesScreen))
        assert app.screen.styles.background == light
        app.theme = "reflectevo"
        await until(pilot, lambda: app.screen.styles.background != light)
        await pilot.press("1")
        await until(pilot, lambda: app.screen.styles.background != light)


async def test_only_the_first_snapshot_counts_as_answering_a_key(build, until) -> None:
    """Other snapshots come at any time: one right before a key would make that key look held down."""
    app = ReflectEvoApp(build(40).workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot and app.promptness.rested() > 2 * REPEAT_SECONDS)
        shown = app.snapshot
        assert shown is not None
        app.post_message(SnapshotRead(replace(shown)))
        await until(pilot, lambda: app.snapshot is not shown)
        assert app.promptness.rested() > 2 * REPEAT_SECONDS
        await pilot.press("j")
        assert app.promptness.take()


async def test_a_layout_and_a_repaint_together_paint_the_screen_once(
    build, until, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = ReflectEvoApp(build(40).workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot and app.promptness.patience() <= 0)
        await pilot.pause(0.3)
        painted: list[str] = []
        shown = app._display

        def display(screen: Screen[object], renderable: object) -> None:
            if renderable is not None:
                painted.append(type(renderable).__name__)
            shown(screen, renderable)  # type: ignore[arg-type]

        monkeypatch.setattr(app, "_display", display)
        app.screen.query_one(HardwareTable).styles.height = 9
        app.screen.refresh()
        await until(pilot, lambda: painted)
        await pilot.pause(0.2)
    assert painted[0] == "LayoutUpdate" and painted.count("LayoutUpdate") == 1, painted


async def test_the_way_back_to_a_screen_styles_nothing_anew(build, until, monkeypatch: pytest.MonkeyPatch) -> None:
    app = ReflectEvoApp(build(40).workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot)
        for key in "21":
            await pilot.press(key)
            await pilot.pause(0.3)
        styled: list[str] = []
        update = Stylesheet.update_nodes

        def note(styles: Stylesheet, nodes: Iterable[DOMNode], animate: bool = False) -> None:
            found = list(nodes)
            styled.extend(type(node).__name__ for node in found)
            update(styles, found, animate)

        monkeypatch.setattr(Stylesheet, "update_nodes", note)
        for key, name in (("2", "TrajectoriesScreen"), ("1", "MonitorScreen")):
            await pilot.press(key)
            await until(pilot, lambda name=name: type(app.screen).__name__ == name)
            await pilot.pause(0.2)
        assert not {"TrajectoriesScreen", "MonitorScreen"} & set(styled)


async def test_a_repaint_waits_for_the_pages_of_the_window_and_no_other(build, until) -> None:
    """Nine full pages: a tenth would never come, and every later repaint would wait for it."""
    asked: set[int] = set()

    def note(message: Message) -> None:
        if isinstance(message, TrajectoryList.PageWanted):
            asked.add(message.number)

    app = ReflectEvoApp(build(900).workspace)
    async with app.run_test(size=(160, 50), message_hook=note) as pilot:
        await pilot.press("2")
        rows = app.screen.query_one(TrajectoryList)
        await until(pilot, lambda: rows.total == 900 and rows.row_at(0))
        await pilot.press("G")
        await until(pilot, lambda: rows.row_at(899))
        assert asked == {8}
        rows.move_to(99 + rows.size.height // 2)
        await until(pilot, lambda: rows.row_at(101))
        assert asked <= {0, 1, 8}


async def test_what_does_not_come_is_not_waited_for(build, until) -> None:
    app = ReflectEvoApp(build(40).workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot and app.promptness.patience() <= 0)
        app.repaints.hold("nothing was pressed")
        assert not app._batch_count
        app.promptness.key()
        app.repaints.hold("something")
        app.repaints.hold("something")
        app.repaints.hold("something else")
        assert app._batch_count == 2
        app.repaints.release("something")
        assert app._batch_count == 1, "the other is still on its way"
        await until(pilot, lambda: not app._batch_count)
        app.promptness.key()
        app.repaints.hold("a dialog that closes")
        app.repaints.hold("a page")
        app.repaints.paint("a page")
        assert not app._batch_count, "what somebody waits to read is painted whatever else is held"
        await until(pilot, lambda: not app._batch_count and not app.repaints._held)
