"""Tests Trajectories: the list stays small in memory and exact at any position, and the detail follows the cursor."""

from __future__ import annotations

from typing import Any

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.trajectories import TrajectoriesScreen
from reflectevo_tui.state.trajectory_reader import PAGE_ROWS
from reflectevo_tui.widgets.filter_chips import FilterChips
from reflectevo_tui.widgets.trajectory_detail import TrajectoryDetailPane
from reflectevo_tui.widgets.trajectory_list import KEPT_PAGES, TrajectoryList
from store.database.connection import reading
from store.rollouts.trajectories import TrajectoryFilter
from store.runs.policies import list_policies
from store.runs.runs import list_runs

SIZES = [(160, 50), (80, 24)]


class View:
    """The parts of the screen that tests read."""

    def __init__(self, app: ReflectEvoApp) -> None:
        assert isinstance(app.screen, TrajectoriesScreen)
        self.screen = app.screen
        self.rows = app.screen.query_one(TrajectoryList)
        self.pane = app.screen.query_one(TrajectoryDetailPane)

    @property
    def chosen(self) -> int | None:
        """Return the id of the row under the cursor."""
        row = self.rows.row_at(self.rows.cursor)
        return row.id if row else None

    @property
    def shown(self) -> int | None:
        """Return the id of the trajectory in the detail."""
        return self.pane.detail.row.id if self.pane.detail else None

    @property
    def chips(self) -> str:
        """Return the text of the chips."""
        return self.screen.query_one(FilterChips).lines[0].plain


async def opened(app: ReflectEvoApp, pilot: Any, until: Any, total: int) -> View:
    """Return the screen with its list counted and its first detail shown."""
    await pilot.press("2")
    await until(pilot, lambda: isinstance(app.screen, TrajectoriesScreen))
    view = View(app)
    await until(pilot, lambda: view.rows.total == total and (view.shown or not total))
    return view


@pytest.mark.parametrize("size", SIZES)
async def test_the_list_drives_the_detail(build, until, screen_text, size) -> None:
    built = build(60)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        view = await opened(app, pilot, until, 60)
        await pilot.press("j", "down", "down")
        await until(pilot, lambda: view.shown == 4)
        await pilot.pause(0.1)
        shown = screen_text(app)
        assert "60 trajectories" in shown and "▸         4" in shown and "Question 3" in shown
        if size[0] == 160:
            for words in ("✗ incorrect", "✓ correct", "{+slowly+}", "sibling 1 of 2", "policy p00", "seed 7"):
                assert words in shown, words
        await pilot.press("k")
        await until(pilot, lambda: view.shown == 3)


@pytest.mark.parametrize("size", SIZES)
async def test_siblings_flip(build, until, size) -> None:
    built = build(20)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        view = await opened(app, pilot, until, 20)
        await pilot.press("j")
        await until(pilot, lambda: view.shown == 2)
        await pilot.press("l")
        await until(pilot, lambda: view.shown == 3)
        await pilot.press("l")
        await pilot.pause(0.2)
        assert view.shown == 3, "there are two siblings"
        await pilot.press("h")
        await until(pilot, lambda: view.shown == 2)
        assert view.chosen == 2


async def test_a_large_list_reads_what_it_shows(build, until, rows_read) -> None:
    built = build(20)
    copy = (
        "WITH RECURSIVE n(i) AS (SELECT 21 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        " INSERT INTO trajectories (id, iteration_id, policy_id, question_id, attempt_id, reflection_id, split, task,"
        " domain, transition, instruction) SELECT i, 1, 1, 1, 2, NULL, 'train', 'bulk', 'd', 'i→i', '' FROM n"
    )
    built.writer.execute("DROP INDEX trajectories_parts")
    built.writer.execute(copy)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until, 20_000)
        assert sum(rows_read) <= 2 * PAGE_ROWS
        await pilot.press("end")
        await until(pilot, lambda: view.chosen == 20_000)
        assert sum(rows_read) <= 4 * PAGE_ROWS
        await pilot.press("pageup")
        await until(pilot, lambda: view.chosen == 20_000 - view.rows.scrollable_content_region.height + 1)
        view.rows.move_to(12_345)
        await until(pilot, lambda: view.chosen == 12_346)
        await pilot.press("home")
        await until(pilot, lambda: view.chosen == 1)
        assert len(view.rows._pages) <= KEPT_PAGES
        assert sum(rows_read) <= 10 * PAGE_ROWS
        view.screen.go_to(7_777)
        await until(pilot, lambda: view.chosen == 7_777)


async def test_growth_does_not_move_the_cursor(build, until) -> None:
    built = build(150)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until, 150)
        await pilot.press("G")
        await until(pilot, lambda: view.chosen == 150)
        built.add_trajectories(75, start=150)
        await until(pilot, lambda: view.rows.total == 225)
        assert view.rows.cursor == 149
        await until(pilot, lambda: view.chosen == 150)
        await pilot.press("G")
        await until(pilot, lambda: view.chosen == 225)
        assert "225 trajectories" in view.chips


async def test_rows_deleted_behind_its_back_are_noticed(build, until) -> None:
    built = build(350)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until, 350)
        built.writer.execute("DELETE FROM trajectories WHERE id BETWEEN 210 AND 219")
        view.rows.move_to(250)
        await until(pilot, lambda: view.rows.total == 340)
        await until(pilot, lambda: view.chosen == 261)


async def test_search_and_filters_are_chips(build, until, screen_text) -> None:
    built = build(100)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until, 100)
        await pilot.press("slash", *"Reflection", "space", *"7", "enter")
        await until(pilot, lambda: '["Reflection 7" ✕]' in view.chips and "…" not in view.chips)
        found = built.writer.execute(
            "SELECT count(*) FROM trajectory_search WHERE trajectory_search MATCH 'reflection 7*'"
        )
        expected = found.fetchone()[0]
        assert 0 < expected < 100 and f"100 → {expected}" in view.chips
        await pilot.press("F")
        await until(pilot, lambda: "Filter trajectories" in screen_text(app))
        await pilot.press("enter", "down", "down", "enter")
        await until(pilot, lambda: "[i→c ✕]" in view.chips and "…" not in view.chips)
        await pilot.press("x")
        await until(pilot, lambda: "i→c" not in view.chips and "Reflection 7" in view.chips)
        await pilot.press("X")
        await until(pilot, lambda: "100 trajectories" in view.chips and view.rows.total == 100)


async def test_filter_by_iteration_and_nothing_found(build, until, screen_text) -> None:
    built = build(30)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(app, pilot, until, 30)
        await pilot.press("F")
        await until(pilot, lambda: "Filter trajectories" in screen_text(app))
        await pilot.press("down", "down", "down", "right", "down", "enter")
        await until(pilot, lambda: "[iteration 1 of demo ✕]" in view.chips and "30 → 30" in view.chips)
        await pilot.press("slash", *"nosuchword", "enter")
        await until(pilot, lambda: "Nothing matches" in screen_text(app))
        await pilot.click(FilterChips, offset=(view.chips.index("iteration"), 0))
        await until(pilot, lambda: "iteration" not in view.chips)


async def test_an_answer_for_an_earlier_filter_is_dropped(build, until) -> None:
    from reflectevo_tui.state.messages import AnchorsRead, PageRead
    from store.rollouts.trajectories import Anchors

    built = build(30)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until, 30)
        view.screen.post_message(AnchorsRead(0, Anchors(PAGE_ROWS, (0,), 9999, 9999), 9999))
        view.screen.post_message(PageRead(0, 0, ()))
        await pilot.pause(0.2)
        assert view.rows.total == 30 and view.chosen == 1


async def test_search_from_the_monitor(build, until) -> None:
    built = build(30)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("slash")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "search")
        await pilot.press(*"12", "enter")
        view = View(app)
        await until(pilot, lambda: '["12" ✕]' in view.chips)


@pytest.mark.parametrize("size", SIZES)
async def test_tab_moves_into_the_detail(build, until, size) -> None:
    built = build(30)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        view = await opened(app, pilot, until, 30)
        await pilot.press("tab")
        await pilot.pause(0.1)
        assert app.focused is view.pane
        height = view.pane.size.height
        await pilot.press("j", "j", "escape")
        await pilot.pause(0.1)
        assert app.focused is view.rows
        if size[1] == 24:
            assert view.pane.size.height < height, "the pane that is read gets the room"


async def test_prompts_are_shown_as_sent(build, until, screen_text, monkeypatch) -> None:
    asked: list[tuple[str, int]] = []

    def prompt_of(workspace: object, kind: str, row_id: int) -> dict[str, Any]:
        asked.append((kind, row_id))
        messages = [
            {"role": "system", "content": "be [b]brief[/b]"},
            {"role": "user", "content": "count\x1b]52;c;x\x07"},
        ]
        return {"messages": messages, "version": "v1", "hash": "abab", "matches": len(asked) == 1}

    monkeypatch.setattr("reflectevo_tui.screens.dialogs.prompt.prompt_of", prompt_of)
    built = build(20)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until, 20)
        await pilot.press("j")
        await until(pilot, lambda: view.shown == 2)
        await pilot.press("v")
        await until(pilot, lambda: "✓ identical to what was sent" in screen_text(app))
        assert "be [b]brief[/b]" in screen_text(app) and "count␛]52" in screen_text(app)
        await pilot.press("c")
        await until(pilot, lambda: "✗ differs from what was sent" in screen_text(app))
        await pilot.press("escape")
        detail = view.pane.detail
        assert detail and detail.reflection and detail.correction
        assert asked == [("reflection", detail.reflection.id), ("attempt", detail.correction.id)]


async def test_policy_domain_and_flags_filter(build, until, screen_text) -> None:
    built = build(30)
    built.writer.execute("UPDATE trajectories SET flags = 'odd loop' WHERE id IN (3, 4)")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until, 30)
        for downs, chip in ((8, "[flag loop ✕]"), (6, "[policy p00 of demo ✕]"), (7, "[reasoning ✕]")):
            await pilot.press("F")
            await until(pilot, lambda: "Filter trajectories" in screen_text(app))
            await pilot.press(*["down"] * downs, "right", "down", "enter")
            await until(pilot, lambda chip=chip: chip in view.chips and "…" not in view.chips)
        assert "30 → 2" in view.chips


async def test_a_filter_is_kept_under_a_name_without_ids(build, until, screen_text) -> None:
    from reflectevo_tui.state.user_config import load_choices
    from store.rollouts.trajectories import TrajectoryFilter

    built = build(30)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until, 30)
        view.screen.show_filter(TrajectoryFilter(iteration=1, transition="i→c"))
        await until(pilot, lambda: "i→c" in view.chips)
        await pilot.press("S")
        await until(pilot, lambda: "Save this filter as" in screen_text(app))
        await pilot.press(*"fixed", "enter")
        await until(pilot, lambda: load_choices().filters == {"fixed": {"transition": "i→c"}})
        await pilot.press("X", "F")
        await until(pilot, lambda: "Filter trajectories" in screen_text(app))
        await pilot.press("end", "right", "down", "enter")
        await until(pilot, lambda: "[i→c ✕]" in view.chips and "iteration" not in view.chips)
        await pilot.press("X", "S")
        await until(pilot, lambda: "Save this filter as" in screen_text(app))
        await pilot.press(*"fixed", "enter")
        await until(pilot, lambda: load_choices().filters == {})


async def test_an_empty_list_says_what_to_do(empty, until, screen_text) -> None:
    app = ReflectEvoApp(empty)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: "No trajectory yet." in screen_text(app))
        await pilot.press("j", "k", "G", "home", "pageup", "h", "l", "v", "x", "X", "tab")


async def test_a_filter_by_policy_shows_the_name_of_the_policy(build, until) -> None:
    """Lineage opens the list with the id of a policy; the operator knows it by its name."""
    built = build(60)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=SIZES[0]) as pilot:
        view = await opened(app, pilot, until, 60)
        with reading(built.workspace.database) as connection:
            run = list_runs(connection)[0]
            policy = list_policies(connection, run.id)[0]
        view.screen.apply(TrajectoryFilter(policy=policy.id))
        await until(pilot, lambda: f"policy {policy.name} of {run.name}" in view.chips)
