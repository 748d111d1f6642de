"""Tests pair mode: A or B with the order hidden; the choice becomes a preference with the sides mapped back."""

from __future__ import annotations

from typing import Any

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.pairs import PairsScreen, sides, swapped
from reflectevo_tui.screens.review import ReviewScreen
from reflectevo_tui.widgets.line_panel import LinePanel
from store.curation import curated
from store.curation.curated import NOT_JUDGED, NewCurated
from store.curation.preferences import pairs_to_judge
from store.curation.records import OpenPair
from store.database.connection import write
from tests.support.built_workspaces import Built


def leave_open(built: Built, count: int) -> list[tuple[int, int]]:
    """Store pairs of siblings that wait for a judge."""
    rows = built.writer.execute(
        "SELECT min(id), max(id) FROM reflections GROUP BY attempt_id HAVING count(*) = 2 ORDER BY 1 LIMIT ?", (count,)
    ).fetchall()
    pairs = [(row[0], row[1]) for row in rows]
    with write(built.writer):
        curated.replace_curated(
            built.writer,
            built.iteration,
            [NewCurated("d_pref", first, second, None, False, NOT_JUDGED) for first, second in pairs],
        )
    return pairs


def stored(built: Built) -> list[tuple[int, int, str, float]]:
    """Return every preference, oldest first."""
    rows = built.writer.execute("SELECT chosen_id, rejected_id, source, confidence FROM preferences ORDER BY id")
    return [tuple(row) for row in rows]


async def opened(app: ReflectEvoApp, pilot: Any, until: Any) -> PairsScreen:
    """Open pair mode and wait for its first pair."""
    await until(pilot, lambda: app.snapshot)
    await pilot.press("3")
    await until(pilot, lambda: isinstance(app.screen, ReviewScreen) and app.screen.iteration)
    await pilot.press("p")
    await until(pilot, lambda: isinstance(app.screen, PairsScreen) and not app.screen._reading)
    assert isinstance(app.screen, PairsScreen)
    return app.screen


def shown(screen: PairsScreen) -> OpenPair:
    """Return the pair on the screen."""
    pair = screen._pair()
    assert pair is not None
    return pair


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_choices_become_preferences(build, until, screen_text, size) -> None:
    built = build(40)
    leave_open(built, 5)
    app = ReflectEvoApp(built.workspace)
    wanted = []
    async with app.run_test(size=size) as pilot:
        screen = await opened(app, pilot, until)
        text = screen_text(app)
        assert " A " in text and " B " in text and "5 left" in text
        for key, side in (("a", 0), ("b", 1)):
            both = sides(shown(screen))
            wanted.append((both[side][0], both[1 - side][0], "human", 1.0))
            await pilot.press(key)
        undecided = shown(screen)
        wanted.append((undecided.first_id, undecided.second_id, "human", 0.0))
        await pilot.press("s")
        await until(pilot, lambda: len(stored(built)) == 3)
        status = "".join(line.plain for line in screen.query_one("#pair-status", LinePanel).lines)
        assert "3 judged in this session" in status and "2 left" in status
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
    assert stored(built) == wanted


async def test_going_back_decides_anew(build, until) -> None:
    built = build(40)
    leave_open(built, 3)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        screen = await opened(app, pilot, until)
        first = shown(screen)
        await pilot.press("a")
        await pilot.press("u")
        assert shown(screen).id == first.id
        await pilot.press("b")
        await until(pilot, lambda: len(stored(built)) == 2)
    (a, b), found = sides(first), stored(built)
    assert [row[:2] for row in found] == [(a[0], b[0]), (b[0], a[0])], "the newest counts"


async def test_without_pairs_it_says_where_they_come_from(build, until, screen_text) -> None:
    built = build(10)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "No pairs to judge" in screen_text(app))
        await pilot.press("a", "b", "s", "space", "u", "j", "w")
        assert stored(built) == []


def test_the_side_is_drawn_from_the_pair_and_not_from_its_order(build) -> None:
    built = build(200)
    leave_open(built, 60)
    pairs = pairs_to_judge(built.writer, built.iteration, limit=60)
    turned = sum(swapped(pair) for pair in pairs)
    assert 15 < turned < 45, "about half of them"
    for pair in pairs:
        other = OpenPair(
            pair.id, pair.task, pair.question_id, pair.attempt_id, pair.second_id, pair.first_id,
            pair.question, pair.options, pair.attempt,
            pair.second_text, pair.first_text,
        )  # fmt: skip
        assert sides(pair) == sides(other)
