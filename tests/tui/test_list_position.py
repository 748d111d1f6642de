"""Tests jumps in a long list, to a row number, a share or a trajectory, and dragging the scroll bar."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import Input

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.dialogs.text_input import LineDialog
from reflectevo_tui.state.list_position import NoSuchPlace, Place, read_place
from reflectevo_tui.state.trajectory_reader import PAGE_ROWS
from store.rollouts.trajectories import Anchors, TrajectoryFilter
from tests.support.built_workspaces import Built
from tests.tui.test_trajectories import opened

ROWS = 20_000


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("1", Place(0)),
        ("460,000", Place(459_999)),
        (" 12_345 ", Place(12_344)),
        ("50%", Place(230_000)),
        ("0%", Place(0)),
        ("100 %", Place(459_999)),
        ("33.3%", Place(153_180)),
        ("#88,213", Place(trajectory=88_213)),
    ],
)
def test_a_place_is_read(typed: str, place: Place) -> None:
    assert read_place(typed, 460_000, 500_000) == place


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "type a row"),
        ("middle", "type a row"),
        ("-3", "type a row"),
        ("#5%", "type a row"),
        ("0", "the last row is 460,000"),
        ("460001", "the last row is 460,000"),
        ("101%", "at most 100%"),
        ("1.5", "whole numbers"),
        ("#500001", "trajectory is #500,000"),
    ],
)
def test_what_is_no_place_is_said(typed: str, words: str) -> None:
    with pytest.raises(NoSuchPlace, match=words):
        read_place(typed, 460_000, 500_000)
    with pytest.raises(NoSuchPlace, match="empty"):
        read_place("1", 0, 0)


def test_a_row_of_a_list_that_is_still_counted_is_not_refused_as_too_far() -> None:
    assert read_place("#88213", 100, 500_000, counted=False) == Place(trajectory=88_213)
    for typed in ("250,000", "50%"):
        with pytest.raises(NoSuchPlace, match="still being counted"):
            read_place(typed, 100, 500_000, counted=False)


@given(st.text(max_size=12), st.integers(1, 10**7))
def test_whatever_is_typed_leads_into_the_list_or_is_refused(typed: str, total: int) -> None:
    try:
        place = read_place(typed, total, total)
    except NoSuchPlace:
        return
    assert 0 <= place.position < total and (place.trajectory is None or 1 <= place.trajectory <= total)


def with_rows(built: Built) -> Built:
    """Fill the list with `ROWS` trajectories in one cheap statement."""
    built.writer.execute("DROP INDEX trajectories_parts")
    built.writer.execute(
        f"WITH RECURSIVE n(i) AS (SELECT 21 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})"
        " INSERT INTO trajectories (id, iteration_id, policy_id, question_id, attempt_id, reflection_id, split, task,"
        " domain, transition, instruction) SELECT i, 1, 1, 1, 2, NULL, 'train', 'bulk', 'd', 'i→i', '' FROM n"
    )
    return built


async def go(pilot: Any, until: Any, app: ReflectEvoApp, typed: str) -> None:
    """Type a position."""
    await pilot.press("colon")
    await until(pilot, lambda: isinstance(app.screen, LineDialog))
    app.screen.query_one(Input).value = typed
    await pilot.press("enter")


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_a_key_goes_to_any_row(build, until, screen_text, rows_read, size) -> None:
    app = ReflectEvoApp(with_rows(build(20)).workspace)
    async with app.run_test(size=size) as pilot:
        view = await opened(app, pilot, until, ROWS)
        read = sum(rows_read)
        for typed, wanted in (("12,345", 12_345), ("50%", 10_001), ("#7777", 7_777), ("1", 1), ("100%", ROWS)):
            await go(pilot, until, app, typed)
            await until(pilot, lambda wanted=wanted: view.chosen == wanted)
        assert sum(rows_read) - read <= 10 * PAGE_ROWS, "only what is seen is read"
        await go(pilot, until, app, "20001")
        await until(pilot, lambda: "the last row is 20,000" in screen_text(app))
        assert isinstance(app.screen, LineDialog), "it can be corrected"
        await pilot.press("escape")
        assert view.chosen == ROWS and view.rows.has_focus


async def test_the_palette_asks_for_a_row_from_any_screen(build, until) -> None:
    app = ReflectEvoApp(build(60).workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: app.screen.query(Input))
        await pilot.press(*"go to a row")
        await pilot.pause(0.5)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: app.current_mode == "trajectories" and isinstance(app.screen, LineDialog))
        await pilot.press("escape")


async def test_a_trajectory_behind_a_filter_is_gone_to_without_it(build, until) -> None:
    """Its number means the trajectory, whatever the filter of the list; a row number counts in the filtered list."""
    app = ReflectEvoApp(with_rows(build(20)).workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until, ROWS)
        view.screen.apply(TrajectoryFilter(task="bulk"))
        await until(pilot, lambda: view.rows.total == ROWS - 20)
        await go(pilot, until, app, "10")
        await until(pilot, lambda: view.chosen == 30)
        await go(pilot, until, app, "#3")
        await until(pilot, lambda: view.chosen == 3 and view.rows.total == ROWS)


@pytest.mark.parametrize(("then", "ends_at"), [((), ROWS), (("k",), 119)])
async def test_the_end_is_gone_to_while_the_list_is_counted(
    build, until, screen_text, monkeypatch: pytest.MonkeyPatch, then: tuple[str, ...], ends_at: int
) -> None:
    """A filter on millions of rows takes seconds to count. Pressing G meanwhile means the end of the list, not that of
    its first page; once the operator moves on from there, the pending jump is dropped.
    """
    app = ReflectEvoApp(with_rows(build(20)).workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until, ROWS)
        counted, walk = threading.Event(), view.screen.reader.walk

        def slow(*arguments: Any) -> Anchors:
            counted.wait(60)
            return walk(*arguments)

        monkeypatch.setattr(view.screen.reader, "walk", slow)
        view.screen.apply(TrajectoryFilter(task="bulk"))
        await until(pilot, lambda: view.rows.total == PAGE_ROWS and view.chosen == 21)
        await pilot.press("G")
        await until(pilot, lambda: view.chosen == 20 + PAGE_ROWS)
        await pilot.press(*then)
        await pilot.press("colon", *"500", "enter")
        await until(pilot, lambda: "still being counted" in screen_text(app))
        await pilot.press("escape")
        counted.set()
        await until(pilot, lambda: view.rows.counted and view.rows.total == ROWS - 20 and view.chosen == ends_at)


async def test_the_scroll_bar_is_dragged_through_the_list(build, until) -> None:
    """The rows at the position of the bar are read and shown, and the cursor moves with them."""
    app = ReflectEvoApp(with_rows(build(20)).workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until, ROWS)
        bar = view.rows.vertical_scrollbar
        await pilot.mouse_down(bar, offset=(0, 0))
        for y in (3, 6, bar.size.height // 2):
            await pilot.hover(bar, offset=(0, y))
        await pilot.mouse_up(bar, offset=(0, bar.size.height // 2))
        await until(pilot, lambda: (view.chosen or 0) > ROWS // 4)
        top, height = round(view.rows.scroll_offset.y), view.rows.scrollable_content_region.height
        assert top <= view.rows.cursor < top + height
        assert all(view.rows.row_at(place) for place in range(top, top + height))
        await until(pilot, lambda: view.shown == view.chosen)
        await pilot.press("j")
        await until(pilot, lambda: view.rows.cursor > top)
        assert abs(round(view.rows.scroll_offset.y) - top) <= 1, "the window stays where it was dragged to"
