"""Tests Launch: the form uses the terms of the settings model, saves safely, and issues the right directive."""

from __future__ import annotations

import stat
from typing import Any

import pytest
from textual.widgets import Input

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.engine_client.launch import edited
from reflectevo_tui.engine_client.process import EngineUnavailable, StartedEngine
from reflectevo_tui.screens.dialogs.confirm import ConfirmDialog
from reflectevo_tui.screens.dialogs.message import MessageDialog
from reflectevo_tui.screens.launch import LaunchScreen
from reflectevo_tui.state import settings_form
from reflectevo_tui.state.estimate import estimate_in
from reflectevo_tui.text.estimates import brief
from reflectevo_tui.widgets.setting_field import SettingField
from store.database.connection import open_reader
from store.runs import iterations
from store.settings.toml_file import load_settings
from store.workspace import Workspace
from tests.support.built_workspaces import SETTINGS
from tests.support.issued_directives import recent

SIZES = [(160, 50), (80, 24)]


def issued(workspace: Workspace) -> list[tuple[str, dict[str, Any]]]:
    """Return the issued directives, oldest first."""
    connection = open_reader(workspace.database)
    found = [(one.kind, dict(one.arguments)) for one in recent(connection)][::-1]
    connection.close()
    return found


def field(app: ReflectEvoApp, key: str) -> Input:
    """Return the input of a setting."""
    return next(row for row in app.screen.query(SettingField) if row.field.key == key).query_one(Input)


async def opened(app: ReflectEvoApp, pilot: Any, until: Any) -> None:
    """Return the screen with its form."""
    await pilot.press("7")
    await until(pilot, lambda: isinstance(app.screen, LaunchScreen) and len(app.screen.query(SettingField)))
    await pilot.pause(0.2)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[Workspace]:
    """Replace the engine's start with one that returns immediately; the list holds the requested workspaces."""
    asked: list[Workspace] = []

    def start(workspace: Workspace) -> StartedEngine:
        asked.append(workspace)
        return StartedEngine(7, False, "log")

    monkeypatch.setattr("reflectevo_tui.engine_client.launch.start_engine", start)
    monkeypatch.setattr("reflectevo_tui.engine_client.launch.findings", lambda *_, **__: [])
    return asked


def found(level: str, what: str, fix: str) -> dict[str, str]:
    """Return a finding of the engine's check."""
    return {"level": level, "where": "machine", "what": what, "fix": fix}


def check_finds(monkeypatch: pytest.MonkeyPatch, *findings: dict[str, str]) -> None:
    """Make the engine's check return these findings."""
    monkeypatch.setattr("reflectevo_tui.engine_client.launch.findings", lambda *_, **__: list(findings))


@pytest.mark.parametrize("size", SIZES)
async def test_the_form_shows_the_file(build, until, screen_text, size) -> None:
    built = build(2)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot, until)
        shown = screen_text(app)
        for words in (
            "demo",
            "train, promote",
            "0.0005",
            "✓ ready",
            "letter_counting",
            "250 train",
            "Name of the experiment",
        ):
            assert words in shown, words
        if size[0] == 80:
            await pilot.press("t")
            await pilot.pause(0.1)
        assert "[[tasks]]" in screen_text(app)


async def test_the_estimate_follows_what_is_typed(build, until, screen_text) -> None:
    """The numbers come from the shared function, and change with the form."""
    built = build(60)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(app, pilot, until)

        def expected() -> list[str]:
            return brief(estimate_in(built.workspace, app.screen._checked.settings))

        def shown() -> str:
            return "".join(screen_text(app).split())

        await until(pilot, lambda: "".join(expected()[0].split("·")[0].split()) in shown())
        before = expected()[0]
        field(app, "reflection.samples").value = "5"
        await until(pilot, lambda: expected()[0] != before)
        await until(pilot, lambda: "".join(expected()[0].split("·")[0].split()) in shown())
        (built.workspace.root / "estimate.toml").write_text("speed = 3")
        field(app, "reflection.samples").value = "6"
        await until(pilot, lambda: "thereisnofigure'speed'" in shown())


async def test_mistakes_are_told_beside_their_field(build, until, screen_text) -> None:
    built = build(2)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(app, pilot, until)
        field(app, "training.learning_rate").value = "7"
        field(app, "gates").value = "train, lunch"
        field(app, "reflection.instructions").value = "sometimes"
        await until(pilot, lambda: "✗ 3 errors" in screen_text(app))
        shown = screen_text(app)
        assert "✗ Input should be less than" in shown and "✗ use 'all', a list of keys" in shown
        await pilot.press("ctrl+r", "ctrl+s")
        await pilot.pause(0.2)
        assert issued(built.workspace) == []
        field(app, "training.learning_rate").value = "2e-4"
        field(app, "gates").value = ""
        field(app, "reflection.instructions").value = "1-3-2, 2-1-1"
        await until(pilot, lambda: "✓ ready" in screen_text(app))
        assert app.screen._checked.settings.reflection.instructions == ["1-3-2", "2-1-1"]


async def test_saving_keeps_comments_and_is_private(build, until) -> None:
    built = build(2)
    path = built.workspace.settings_file
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(app, pilot, until)
        field(app, "training.epochs").value = "3"
        field(app, "reflection.samples").value = "4"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: load_settings(path).training.epochs == 3)
    text = path.read_text()
    assert "# a comment of the operator" in text and "# gentler than the paper's" in text
    assert load_settings(path).reflection.samples == 4
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.glob(".reflectevo*")] == []


async def test_a_new_name_starts_a_run(build, until, engine) -> None:
    built = build(2)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(app, pilot, until)
        await pilot.press("tab")
        field(app, "name").value = "second"
        await until(pilot, lambda: app.screen._checked.settings and app.screen._checked.settings.name == "second")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: issued(built.workspace))
    ((kind, arguments),) = issued(built.workspace)
    assert kind == "start_run" and arguments["settings"]["name"] == "second"
    assert arguments["settings"]["training"]["learning_rate"] == 5e-4
    assert arguments["base_directory"] == str(built.workspace.root)
    assert engine == [built.workspace]
    assert load_settings(built.workspace.settings_file).name == "second"


async def test_a_finished_run_gets_its_next_iteration(build, until, engine) -> None:
    built = build(2)
    app = ReflectEvoApp(built.workspace)
    said: list[str] = []
    app.notify = lambda message, **_: said.append(message)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(app, pilot, until)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: any("iteration 1 is running" in words for words in said))
        assert issued(built.workspace) == [] and engine == []
        iterations.update_iteration(built.writer, built.iteration, state="done")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: issued(built.workspace))
    ((kind, arguments),) = issued(built.workspace)
    assert kind == "start_iteration" and arguments["run"] == built.run


async def test_an_engine_that_does_not_start_is_told(build, until, monkeypatch) -> None:
    def start(workspace: Workspace) -> StartedEngine:
        raise EngineUnavailable("the engine did not start: [no] disk")

    monkeypatch.setattr("reflectevo_tui.engine_client.launch.start_engine", start)
    built = build(2)
    check_finds(monkeypatch)
    iterations.update_iteration(built.writer, built.iteration, state="done")
    app = ReflectEvoApp(built.workspace)
    said: list[str] = []
    app.notify = lambda message, **_: said.append(message)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: any("did not start: [no] disk" in words for words in said))
    assert issued(built.workspace) == []


async def test_a_run_that_can_not_succeed_is_refused_with_every_fix(
    build, until, screen_text, engine, monkeypatch
) -> None:
    """All obstacles are shown together; nothing is started, the input is saved."""
    check_finds(
        monkeypatch,
        found("error", "training needs torch", "install it with: pip install torch"),
        found("warning", "the disk is nearly full", "free some space"),
        found("error", "vllm needs a GPU", "set generation.generator to transformers"),
    )
    built = build(2)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        field(app, "name").value = "second"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, MessageDialog))
        shown = " ".join(screen_text(app).split())
        for words in ("training needs torch", "pip install torch", "vllm needs a GPU", "to transformers"):
            assert words in shown, words
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen))
        # It can be tried again once it is fixed.
        assert issued(built.workspace) == [] and engine == []
        check_finds(monkeypatch)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: issued(built.workspace))
    assert load_settings(built.workspace.settings_file).name == "second"


async def test_a_warning_is_shown_and_the_run_starts(build, until, engine, monkeypatch) -> None:
    check_finds(monkeypatch, found("warning", "[few] examples", "raise tasks.train"))
    built = build(2)
    iterations.update_iteration(built.writer, built.iteration, state="done")
    app = ReflectEvoApp(built.workspace)
    said: list[str] = []
    app.notify = lambda message, **_: said.append(message)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(app, pilot, until)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: any("[few] examples\n    → raise tasks.train" in words for words in said))
    assert [kind for kind, _ in issued(built.workspace)] == ["start_iteration"]
    assert engine == [built.workspace]


async def test_a_stopped_iteration_is_resumed_as_the_command_line_does(build, until, engine) -> None:
    """The engine gets the edited settings, takes what may still change, and its outcome names each of them."""
    built = build(2)
    iterations.update_iteration(built.writer, built.iteration, state="stopped")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(app, pilot, until)
        field(app, "training.epochs").value = "3"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: issued(built.workspace) != [])
    ((kind, arguments),) = issued(built.workspace)
    assert kind == "resume" and arguments["iteration"] == built.iteration
    assert arguments["settings"]["training"]["epochs"] == 3


async def test_a_paused_iteration_keeps_its_settings_and_says_so(build, until, engine) -> None:
    """A pause is no end: its stages go on with the settings that they began with."""
    built = build(2)
    iterations.update_iteration(built.writer, built.iteration, state="paused")
    app = ReflectEvoApp(built.workspace)
    said: list[str] = []
    app.notify = lambda message, **_: said.append(message)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(app, pilot, until)
        field(app, "training.epochs").value = "3"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: any("resumes with the settings that it was started with" in words for words in said))
    assert issued(built.workspace) == [("resume", {"iteration": built.iteration})]


TRUSTING = SETTINGS.replace("gates =", 'trust_remote_code = ["HuggingFaceTB/SmolLM2-135M-Instruct"]\ngates =')


@pytest.mark.parametrize("key", ["y", "n"])
async def test_the_code_of_a_model_runs_only_when_it_is_confirmed(build, until, screen_text, engine, key) -> None:
    built = build(2, settings=TRUSTING)
    app = ReflectEvoApp(built.workspace)
    said: list[str] = []
    app.notify = lambda message, **_: said.append(message)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        field(app, "name").value = "second"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        shown = screen_text(app)
        assert "HuggingFaceTB/SmolLM2-135M-Instruct" in shown and "as you" in shown
        assert issued(built.workspace) == [] and engine == []
        await pilot.press(key)
        if key == "y":
            await until(pilot, lambda: issued(built.workspace))
        else:
            await until(pilot, lambda: "Nothing was started." in said)
            await pilot.pause(0.3)
    if key == "n":
        assert issued(built.workspace) == [] and engine == []
    else:
        ((kind, arguments),) = issued(built.workspace)
        assert kind == "start_run" and arguments["confirmed_code"] == ["HuggingFaceTB/SmolLM2-135M-Instruct"]


async def test_the_code_of_a_run_that_was_confirmed_is_not_asked_for_again(build, until, engine) -> None:
    built = build(2, settings=TRUSTING)
    iterations.update_iteration(built.writer, built.iteration, state="done")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: issued(built.workspace))
    assert [kind for kind, _ in issued(built.workspace)] == ["start_iteration"]


async def test_without_a_file(empty, until, screen_text) -> None:
    app = ReflectEvoApp(empty)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("7")
        await until(pilot, lambda: "reflectevo init" in screen_text(app))
        await pilot.press("ctrl+r", "ctrl+s")
        empty.settings_file.write_text("name = 'x'\nmodel = [broken")
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "is not valid TOML" in screen_text(app))


async def test_digits_are_typed_into_fields_and_switch_screens_outside(build, until) -> None:
    built = build(2)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(app, pilot, until)
        await pilot.press("tab", "end", "1", "q")
        assert field(app, "name").value == "demo1q"
        await pilot.press("escape", "1")
        await until(pilot, lambda: app.current_mode == "monitor")


def test_editing_makes_missing_sections() -> None:
    text = edited("# top\nname = 'a'\n", {"training.epochs": 2.0, "name": "b"})
    assert "# top" in text and settings_form.parse(text) == {"name": "b", "training": {"epochs": 2.0}}


def test_every_field_of_the_form_has_help() -> None:
    assert all(one.help for one in settings_form.form_fields())
    assert {one.key: one.choices for one in settings_form.form_fields()}["pace"] == ("flow", "step")
