"""Tests the dialog that edits the settings of the stages ahead, opened at a gate."""

from __future__ import annotations

from typing import Any

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.dialogs.settings import SettingsDialog
from reflectevo_tui.widgets.setting_field import SettingField
from reflectevo_tui.widgets.stage_rail import StageRail
from store.database.connection import reading
from store.runs import iterations
from store.workspace import Workspace
from tests.support.issued_directives import recent


def issued(workspace: Workspace) -> list[tuple[str, dict[str, Any]]]:
    """The directives in the mailbox, oldest first."""
    with reading(workspace.database) as connection:
        return [(one.kind, dict(one.arguments)) for one in recent(connection)][::-1]


def rail(app: ReflectEvoApp) -> str:
    """Text of the stage rail."""
    return "\n".join(line.plain for line in app.screen.query_one(StageRail).lines)


async def test_settings_ahead_are_edited_at_the_gate_and_checked_beside_the_field(build, until, screen_text) -> None:
    built = build(10)
    for name in ("attempt", "reflect", "correct", "curate"):
        iterations.set_stage(built.writer, built.iteration, name, "running")
    built.wait_at("train")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "GATE" in rail(app))
        await pilot.press("g", "e")
        await until(pilot, lambda: isinstance(app.screen, SettingsDialog))
        keys = [row.field.key for row in app.screen.query(SettingField)]
        assert "training.epochs" in keys and "training.second_stage.epochs" in keys and "evaluation.rounds" in keys
        assert {"judge.max_requests", "generation.memory_gib", "gates"} <= set(keys)
        begun = ("reflection.", "curation.", "reuse.")
        assert not any(key.startswith(begun) for key in keys), "the settings of begun stages are fixed"
        row = next(row for row in app.screen.query(SettingField) if row.field.key == "training.epochs")
        row.query_one("Input").focus()
        await pilot.press("ctrl+u", *"none", "ctrl+s")
        await until(pilot, lambda: "✗ Input should be a valid number" in screen_text(app))
        assert isinstance(app.screen, SettingsDialog) and issued(built.workspace) == []
        await pilot.press("ctrl+u", *"2.5", "ctrl+s")
        await until(pilot, lambda: issued(built.workspace))
        await until(pilot, lambda: "epochs = 2.5" in screen_text(app))
    wanted = {"iteration": built.iteration, "settings": {"training": {"epochs": 2.5}}}
    assert issued(built.workspace) == [("set_settings", wanted)]


async def test_an_optional_section_that_is_unset_is_no_error_at_the_first_gate(build, until, screen_text) -> None:
    """A selection reports its initial value when it appears; that must not start the section it belongs to."""
    built = build(0)
    built.wait_at("attempt")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "GATE" in rail(app))
        await pilot.press("g", "e")
        await until(pilot, lambda: isinstance(app.screen, SettingsDialog))
        rows = {row.field.key: row for row in app.screen.query(SettingField)}
        assert "reuse.iteration" in rows
        rows["attempt.top_p"].query_one("Input").focus()
        await pilot.press("ctrl+u", *"0.9")
        await until(pilot, lambda: "top_p" in screen_text(app) and "0.9" in screen_text(app))
        await pilot.pause(0.3)
        assert "Field required" not in screen_text(app)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: issued(built.workspace))
    assert issued(built.workspace)[0][1]["settings"] == {"attempt": {"top_p": 0.9}}
