"""Monitor: what it says in each situation, and that each key leaves the right directive behind."""

from __future__ import annotations

from typing import Any

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.dialogs.confirm import ConfirmDialog
from reflectevo_tui.screens.dialogs.gate import GateDialog
from reflectevo_tui.screens.trajectories import TrajectoriesScreen
from reflectevo_tui.widgets.event_log import EventLog
from reflectevo_tui.widgets.stage_rail import StageRail
from reflectevo_tui.widgets.trajectory_list import TrajectoryList
from store.control import directives
from store.database.connection import reading, write
from store.runs import iterations, runs
from store.workspace import Workspace
from tests.support.issued_directives import recent

SIZES = [(160, 50), (80, 24)]


def issued(workspace: Workspace) -> list[tuple[str, dict[str, Any]]]:
    """The directives in the mailbox, oldest first."""
    with reading(workspace.database) as connection:
        return [(one.kind, dict(one.arguments)) for one in recent(connection)][::-1]


def rail(app: ReflectEvoApp) -> str:
    """Text of the stage rail."""
    return "\n".join(line.plain for line in app.screen.query_one(StageRail).lines)


@pytest.mark.parametrize("size", SIZES)
async def test_a_running_iteration_at_a_glance(build, until, screen_text, engine_lock, size) -> None:
    built = build(40)
    built.run_flow()
    built.beat(gpus=True)
    engine_lock(built.workspace)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "reflect" in rail(app))
        await pilot.pause(0.3)
        shown = screen_text(app)
        for words in ("run demo", "iteration 1", "● running", "✓ attempt", "250 / 250", "i→c 12.0 %", "11.8k tok/s"):
            assert words in shown, words
        for words in ("in flight 64", "prefix cache 78 %", "NVIDIA H100", "event number 29"):
            assert words in shown, words
        if size[0] == 160:
            assert (
                "Acc@t1 ● 38.4 % · Acc@t2 ○ 45.8 % · floor ▪ 50.0 %" in shown
                and "q 4,913 · letter_counting · 1-3-2 · reflection" in shown
            )


@pytest.mark.parametrize("size", SIZES)
async def test_an_empty_workspace_says_what_to_do(empty, until, screen_text, size) -> None:
    app = ReflectEvoApp(empty)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "Nothing has run" in rail(app))
        await pilot.pause()
        shown = screen_text(app)
        assert "Press 7" in shown and "reflectevo run" in shown and "Press e to start it" in shown
        for key in ("p", "s", "g"):
            await pilot.press(key)
    assert issued(empty) == []


async def test_pause_becomes_resume(build, until) -> None:
    built = build(4)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot and app.snapshot.iteration)
        await pilot.press("p")
        await until(pilot, lambda: issued(built.workspace) == [("pause", {"iteration": built.iteration})])
        iterations.update_iteration(
            built.writer, built.iteration, state="paused", control="pause", reason="an operator paused it"
        )
        await until(pilot, lambda: app.snapshot and app.snapshot.iteration and app.snapshot.iteration.state == "paused")
        assert "Press e" in rail(app)
        await pilot.press("p")
        await until(pilot, lambda: len(issued(built.workspace)) == 2)
    assert issued(built.workspace)[1] == ("resume", {"iteration": built.iteration})


async def test_stop_asks_first(build, until) -> None:
    built = build(4)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("s", "n")
        await pilot.press("s", "y")
        await until(pilot, lambda: issued(built.workspace))
    assert issued(built.workspace) == [("stop", {"iteration": built.iteration})]


async def test_the_train_gate_shows_curation_and_settings(build, until, screen_text) -> None:
    built = build(40)
    built.curate()
    built.wait_at("train")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "GATE" in rail(app))
        assert "g look and approve" in rail(app)
        await pilot.press("g")
        await until(pilot, lambda: "8 of 12 included" in screen_text(app))
        shown = screen_text(app)
        assert "4 left out: fewer than 5 words" in shown and "learning_rate = 0.0005" in shown
        await pilot.press("r")
        assert isinstance(app.screen, GateDialog), "reject belongs to the promote gate"
        await pilot.press("escape")
        assert issued(built.workspace) == []
        await pilot.press("g", "a")
        await until(pilot, lambda: issued(built.workspace))
    assert issued(built.workspace) == [("approve", {"iteration": built.iteration, "stage": "train"})]


async def test_a_stage_is_skipped_at_its_gate_after_a_question(build, until, screen_text) -> None:
    built = build(10)
    built.wait_at("train")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "GATE" in rail(app))
        await pilot.press("g")
        await until(pilot, lambda: "s skip" in screen_text(app))
        await pilot.press("s")
        await until(pilot, lambda: "also skips evaluate" in screen_text(app))
        await pilot.press("n")
        assert isinstance(app.screen, GateDialog) and issued(built.workspace) == []
        await pilot.press("s", "y")
        await until(pilot, lambda: issued(built.workspace))
    assert issued(built.workspace) == [("skip", {"iteration": built.iteration, "stage": "train"})]


@pytest.mark.parametrize(("key", "kind"), [("Z", "rollback"), ("B", "branch")])
@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_at_a_gate_one_goes_on_from_another_policy_after_a_question(
    build, until, screen_text, key, kind, size
) -> None:
    built = build(10)
    child = built.add_child()
    built.wait_at("none")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "GATE" in rail(app))
        await pilot.press("g")
        await until(pilot, lambda: "Z roll back" in screen_text(app) and "B branch" in screen_text(app))
        await pilot.press(key)
        await until(pilot, lambda: "p00" in screen_text(app) and "Acc@t2 45.8 %" in screen_text(app))
        assert app.screen.query_one("OptionList").option_count == (1 if kind == "rollback" else 2)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "Iteration 1 is ended here, at gate promote" in screen_text(app)
        await pilot.press("n")
        await pilot.pause(0.1)
        assert isinstance(app.screen, GateDialog) and issued(built.workspace) == []
        await pilot.press(key)
        await until(pilot, lambda: "Acc@t2" in screen_text(app) and app.screen.query("#policies"))
        if kind == "branch":
            await pilot.press("down")
        await pilot.press("enter", "y")
        await until(pilot, lambda: issued(built.workspace))
        assert not isinstance(app.screen, GateDialog)
    wanted = child if kind == "branch" else built.policy
    assert issued(built.workspace) == [(kind, {"policy": wanted, "put_aside": built.iteration, "stage": "promote"})]


@pytest.mark.parametrize(("key", "kind"), [("a", "approve"), ("r", "reject")])
async def test_the_promote_gate_compares_the_policies(build, until, screen_text, key, kind) -> None:
    built = build(10)
    built.add_child()
    built.wait_at("none")
    iterations.update_iteration(built.writer, built.iteration, reason="Acc@t2 +6.2 points")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "promote" in rail(app))
        assert "promote p01 over p00?" in rail(app)
        await pilot.press("g")
        await until(pilot, lambda: "Acc@t2 52.0 % (48.0–56.0)" in screen_text(app))
        assert "Acc@t2 45.8 % (41.8–49.8)" in screen_text(app) and "Acc@t2 +6.2 points" in screen_text(app)
        await pilot.press(key)
        await until(pilot, lambda: issued(built.workspace))
    assert issued(built.workspace) == [(kind, {"iteration": built.iteration, "stage": "promote"})]


async def test_the_outcome_of_a_directive_is_said(build, until) -> None:
    built = build(4)
    app = ReflectEvoApp(built.workspace)
    said: list[str] = []
    app.notify = lambda message, **_: said.append(message)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("p")
        await until(pilot, lambda: issued(built.workspace))
        waiting = directives.pending(built.writer)[0]
        with write(built.writer):
            directives.finish(built.writer, waiting.id, False, "it is [/b] done already")
        await until(pilot, lambda: any("refused: it is [/b] done already" in words for words in said))


async def test_an_unanswered_directive_keeps_a_notice(build, until, screen_text, engine_lock) -> None:
    built = build(4)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("p")
        await until(pilot, lambda: "the engine is stopped. Press e" in screen_text(app))
        with write(built.writer):
            directives.finish(built.writer, directives.pending(built.writer)[0].id, True, "paused")
        await until(pilot, lambda: "not applied yet" not in screen_text(app).splitlines()[-2])


async def test_e_starts_the_engine(build, until, monkeypatch) -> None:
    from reflectevo_tui.engine_client.process import EngineUnavailable, StartedEngine

    built = build(4)
    asked: list[Workspace] = []

    def start(workspace: Workspace) -> StartedEngine:
        asked.append(workspace)
        if len(asked) == 1:
            raise EngineUnavailable("the engine did not start: no [disk]")
        return StartedEngine(7, False, "log")

    monkeypatch.setattr("reflectevo_tui.app.engine_link.start_engine", start)
    app = ReflectEvoApp(built.workspace)
    said: list[str] = []
    app.notify = lambda message, **_: said.append(message)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("e")
        await until(pilot, lambda: any("no [disk]" in words for words in said))
        await pilot.press("e")
        await until(pilot, lambda: any("ready (pid 7)" in words for words in said))
    assert asked == [built.workspace] * 2


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_a_silent_engine_is_stale_not_stopped(build, until, screen_text, engine_lock, size) -> None:
    """The header says so; what holds the lock is described, and left alone while it isn't proved to be an engine."""
    built = build(4)
    built.beat()
    built.writer.execute("UPDATE heartbeats SET beat = beat - 42")
    engine_lock(built.workspace)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: "engine silent 4" in screen_text(app))
        await pilot.press("e")
        await until(pilot, lambda: "holds the workspace" in screen_text(app))
        shown = screen_text(app)
        assert "silent for 4" in shown and "left running" in shown and "Traceback" not in shown
    assert issued(built.workspace) == []


async def test_a_failed_stage_offers_a_retry(build, until) -> None:
    built = build(4)
    iterations.set_stage(built.writer, built.iteration, "train", "failed", "out of memory [x]")
    iterations.update_iteration(built.writer, built.iteration, state="failed", reason="training failed")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "out of memory [x]" in rail(app))
        assert "R retry" in rail(app)
        await pilot.press("R")
        await until(pilot, lambda: issued(built.workspace))
    assert issued(built.workspace) == [("retry_failed", {"iteration": built.iteration})]


async def test_enter_opens_the_newest_trajectory(build, until) -> None:
    built = build(250)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot and app.snapshot.newest)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, TrajectoriesScreen))
        rows = app.screen.query_one(TrajectoryList)
        await until(pilot, lambda: rows.row_at(rows.cursor) is not None and rows.row_at(rows.cursor).id == 249)


async def test_the_log_takes_the_room_and_scrolls(build, until, screen_text) -> None:
    built = build(4)
    built.run_flow()
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot and app.snapshot.events)
        await pilot.press("l")
        await pilot.pause(0.1)
        assert app.focused is app.screen.query_one(EventLog)
        await pilot.press("pageup", "pageup", "pageup")
        await pilot.pause(0.1)
        assert "event number 0:" in screen_text(app) and "newer below" in screen_text(app)
        await pilot.press("G")
        await pilot.pause(0.1)
        assert "event number 29" in screen_text(app)
        await pilot.press("escape")
        assert app.focused is not app.screen.query_one(EventLog)


async def test_a_run_in_preparation_is_told(build, until) -> None:
    built = build(0)
    runs.set_run_state(built.writer, built.run, "new")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "being prepared" in rail(app))


async def test_nothing_is_repainted_while_nothing_changes(build, until, monkeypatch) -> None:
    built = build(40)
    built.run_flow()
    built.wait_at("train")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "attempt" in rail(app))
        await pilot.pause(1.0)
        painted: list[object] = []
        display = app._display
        monkeypatch.setattr(
            app, "_display", lambda screen, renderable: painted.append(renderable) or display(screen, renderable)
        )
        built.writer.execute("UPDATE runs SET error = NULL")  # the version changes, nothing to see does
        await pilot.pause(1.5)
        assert [one for one in painted if one is not None] == []
