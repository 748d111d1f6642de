"""Tests unusual contents and locations of a workspace: texts of any size and script, and a network disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from reflectevo_tui.app import EXIT_STORE_LOST, ReflectEvoApp
from reflectevo_tui.widgets.trajectory_detail import TrajectoryDetailPane
from store.database import connection
from tests.support.built_workspaces import Builder
from tests.tui.test_cli_control import invoke

SCRIPTS = "שלום עולם مرحبا 👩‍👩‍👧 🏳️‍🌈 漢字 नमस्ते "


async def test_ten_megabytes_of_mixed_scripts_in_one_reflection_are_shown_in_portions(
    build: Builder, until, screen_text
) -> None:
    built = build(4)
    body = SCRIPTS * (10_000_000 // len(SCRIPTS.encode()) + 1)
    assert len(body.encode()) >= 10_000_000
    built.writer.execute("UPDATE reflections SET text = ?", (body,))
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("2")
        await until(pilot, lambda: app.screen.query(TrajectoryDetailPane))
        pane = app.screen.query_one(TrajectoryDetailPane)
        await pilot.press("j")
        await until(pilot, lambda: pane.detail and pane.detail.reflection)
        assert pane.virtual_size.height <= 4_000
        await until(pilot, lambda: "שלום" in screen_text(app))
        assert "‹200D›" in screen_text(app), "what joins or turns characters is named"
        await pilot.press("f3")
        await until(pilot, lambda: app.current_mode == "review" and "not reviewed" in screen_text(app))


def test_a_workspace_on_a_network_disk_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_network_file_system", lambda directory: "nfs4")
    code, _, error = invoke("demo-data", "-w", tmp_path / "w", "--rows", "100")
    assert code == 1
    assert "nfs4" in error and "Traceback" not in error


async def test_the_application_refuses_a_network_disk_in_words(build, until, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build(4)
    monkeypatch.setattr(connection, "_network_file_system", lambda directory: "nfs4")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.return_code == EXIT_STORE_LOST)
        said = str(app._exit_renderables[0])
    assert "nfs4" in said and "local" in said, said


EMPTY = {
    "monitor": "Press 7 to look at the settings and launch a run",
    "trajectories": "7 launches a run; trajectories appear here as they finish",
    "review": "No reflection to review yet",
    "datasets": "7 launches a run",
    "lineage": "No policy yet. 7 launches a run, which starts from its base model.",
    "instructions": "nothing was reflected on yet",
    "launch": "There is no settings file in this workspace yet",
    "logs": "No log yet. Press 1, then e, to start the engine, which writes one.",
}
"""Text of each screen before any run: what would fill it, or which key to press."""


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_every_screen_of_an_empty_workspace_says_what_would_fill_it(empty, until, screen_text, size) -> None:
    app = ReflectEvoApp(empty)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot)
        for number, (mode, words) in enumerate(EMPTY.items(), start=1):
            await pilot.press(f"f{number}")
            await until(pilot, lambda mode=mode, words=words: app.current_mode == mode and words in screen_text(app))
