"""Tests that Review stores which error a reflection names, with one key, and shows the shares so far."""

from __future__ import annotations

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.widgets.line_panel import LinePanel
from tests.support.review_screen import SIZES, decide, opened, stored


@pytest.mark.parametrize("size", SIZES)
async def test_naming_the_error_is_one_key_stored_with_the_decision(build, until, size) -> None:
    built = build(60)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        view = await opened(app, pilot, until)
        await pilot.press("9", "d")
        await until(pilot, lambda: "9 other" in view.decision and "names the error partly" in view.decision)
        first = await decide(pilot, until, view, "e", "a")
        assert "names the error" not in view.decision, "a mark isn't taken along to the next reflection"
        second = await decide(pilot, until, view, "c", "c", "r")
        await pilot.press("u")
        await until(pilot, lambda: view.reflection == second and "not reviewed" in view.decision)
        await pilot.press("u")
        await until(pilot, lambda: view.reflection == first and "not reviewed" in view.decision)
        await decide(pilot, until, view, "1", "c", "f")
        await pilot.press("backspace")
        await until(pilot, lambda: view.reflection == first and "names the error no" in view.decision)
        await pilot.press("e")
        await until(pilot, lambda: "names the error yes" in view.decision)
        await until(pilot, lambda: len(stored(built.workspace)) == 6)
    rows = built.writer.execute(
        "SELECT reflection_id, decision, error_kind, names_error, sample_size, sample_seed FROM reviews ORDER BY id"
    ).fetchall()
    assert [tuple(row) for row in rows] == [
        (first, "accept", 9, "yes", 200, 0),
        (second, "reject", None, None, 200, 0),
        (second, "clear", None, None, 200, 0),
        (first, "clear", None, None, 200, 0),
        (first, "flag", 1, "no", 200, 0),
        (first, "flag", 1, "yes", 200, 0),
    ]


async def test_the_shares_of_named_errors_follow_at_once(build, until) -> None:
    built = build(60)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until)
        naming = view.screen.query_one("#review-kinds", LinePanel)
        assert "so far" not in naming.lines[1].plain
        await decide(pilot, until, view, "1", "e", "a")
        assert "so far named 100 %" in naming.lines[1].plain and "n 1 · calculation 100 %" in naming.lines[1].plain
        await decide(pilot, until, view, "r")
        assert "so far named 100 %" in naming.lines[1].plain, "nothing was recorded with the second decision"
        await pilot.press("u", "u")
        await until(pilot, lambda: "so far" not in naming.lines[1].plain)


async def test_a_sibling_outside_the_sample_is_stored_without_a_sample(build, until) -> None:
    built = build(30)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until)
        await pilot.press("t", "ctrl+u", *"1", "space", "3", "enter")
        await until(pilot, lambda: "/1 " in view.status)
        (item,) = view.screen._session.queue.items
        await until(pilot, lambda: view.reflection == item.reflection_id)
        detail = view.card.detail
        assert detail is not None
        await pilot.press("l" if detail.siblings[0] == detail.row.id else "h")
        await until(pilot, lambda: view.reflection != item.reflection_id)
        other = view.reflection
        await pilot.press("c", "r")
        await until(pilot, lambda: stored(built.workspace))
    row = built.writer.execute("SELECT reflection_id, names_error, sample_size, sample_seed FROM reviews").fetchone()
    assert tuple(row) == (other, "no", None, None)


async def test_nine_is_no_screen(build, until) -> None:
    built = build(30)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(app, pilot, until)
        await pilot.press("g", "9")
        await pilot.pause(0.2)
        assert app.current_mode == "review" and "9 other" not in view.decision
        await pilot.press("9")
        await until(pilot, lambda: "9 other" in view.decision)
