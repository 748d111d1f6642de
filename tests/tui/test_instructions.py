"""Tests Instructions: the heatmap counts stored rows, is readable without colour, and opens the rows of a number."""

from __future__ import annotations

from typing import Any

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.instructions import InstructionsScreen, wording
from reflectevo_tui.state.messages import TrajectoriesWanted
from reflectevo_tui.widgets.filter_chips import FilterChips
from reflectevo_tui.widgets.heatmap import Heatmap, key_parts, shade
from store.control.telemetry import put_capability
from store.rollouts.trajectories import TrajectoryFilter

POOL = {"verify": ["V one.", "V two."], "locate": [f"L {n}." for n in range(1, 9)], "plan": ["P one.", "P two."]}


async def opened(app: ReflectEvoApp, pilot: Any, until: Any) -> Heatmap:
    """Return the screen with its numbers."""
    await until(pilot, lambda: app.snapshot)
    await pilot.press("6")
    await until(pilot, lambda: isinstance(app.screen, InstructionsScreen))
    heatmap = app.screen.query_one(Heatmap)
    await until(pilot, lambda: any("%" in line.plain for line in heatmap.lines[2:-1]))
    return heatmap


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_the_map_shows_share_and_n_and_the_wording(build, until, screen_text, size) -> None:
    built = build(120)
    put_capability(built.writer, "instructions", POOL)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        heatmap = await opened(app, pilot, until)
        await pilot.press("right", "down")
        assert heatmap.key == "1-2-2"
        helped, n = built.writer.execute(
            "SELECT sum(transition = 'i→c'), count(*) FROM trajectories WHERE instruction = '1-2-2'"
        ).fetchone()
        await until(pilot, lambda: "1-2-2" in screen_text(app) and "V one. L 2. P two." in screen_text(app))
        assert f"{100 * helped / n:4.1f} % n {n}" in screen_text(app)
        assert "not used" in screen_text(app), "instructions that were never drawn say so"


async def test_enter_opens_the_rows_behind_the_number(build, until) -> None:
    built = build(120)
    wanted: list[TrajectoryFilter] = []
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(
        size=(160, 50), message_hook=lambda m: wanted.append(m.wanted) if isinstance(m, TrajectoriesWanted) else None
    ) as pilot:
        await opened(app, pilot, until)
        await pilot.press("tab", "right", "j", "enter")
        await until(pilot, lambda: app.current_mode == "trajectories")
        chips = lambda: app.screen.query_one(FilterChips).lines[0].plain  # noqa: E731
        await until(pilot, lambda: "[1-2-2 ✕]" in chips() and "…" not in chips())
    task = built.writer.execute("SELECT min(task) FROM trajectories").fetchone()[0]
    assert wanted[0] == TrajectoryFilter(iteration=built.iteration, split="train", task=task, instruction="1-2-2")


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_an_empty_workspace_says_so(empty, until, screen_text, size) -> None:
    app = ReflectEvoApp(empty)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("6")
        await until(pilot, lambda: "nothing was reflected on yet" in screen_text(app))
        await pilot.press("tab", "enter", "b", "right", "j", "comma")


def test_wording_is_composed_and_honest_about_what_it_lacks() -> None:
    assert wording("2-8-1", POOL) == "V two. L 8. P one."
    assert "a part of this run's own" in wording("3-1-1", POOL)
    assert "stores the wording" in wording("1-1-1", {})
    assert key_parts("general") is None and key_parts("1-2") is None


def test_shades_go_from_the_lowest_to_the_highest() -> None:
    assert [shade(value, 0.1, 0.5) for value in (0.1, 0.25, 0.35, 0.45, 0.5)] == [0, 1, 2, 3, 3]
    assert (shade(0.3, 0.3, 0.3), shade(0.0, 0.0, 0.0)) == (2, 0), "where all are alike none is the worst"
