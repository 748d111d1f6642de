"""Tests Review: a decision is one key, is stored immediately, is never lost, and the next reflection follows."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens import review
from reflectevo_tui.screens.review import ReviewScreen
from reflectevo_tui.state.messages import TrajectoryWanted
from reflectevo_tui.state.review_reader import read_card
from store.curation.review_queue import draw_queue
from store.curation.reviews import add_review
from tests.support.review_screen import SIZES, decide, opened, stored


@pytest.mark.parametrize("size", SIZES)
async def test_each_decision_is_one_key_and_the_next_card_follows(build, until, screen_text, size) -> None:
    built = build(60)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        view = await opened(app, pilot, until)
        shown = screen_text(app)
        assert "Question" in shown and "Reflection" in shown and "✗ incorrect" in shown
        accepted = await decide(pilot, until, view, "a")
        rejected = await decide(pilot, until, view, "3", "r")
        flagged = await decide(pilot, until, view, "f")
        await until(pilot, lambda: len(stored(built.workspace)) == 3)
    assert stored(built.workspace) == [
        (accepted, "accept", None, ""),
        (rejected, "reject", 3, ""),
        (flagged, "flag", None, ""),
    ]


async def test_the_order_is_that_of_the_sample_and_what_is_reviewed_is_done(build, until) -> None:
    built = build(60)
    queue = draw_queue(built.writer, built.iteration, 200, 0)
    for item in queue.items[:2]:
        add_review(built.writer, item.reflection_id, "accept")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until)
        assert view.reflection == queue.items[2].reflection_id
        assert f"2/{len(queue.items)}" in view.status
        assert await decide(pilot, until, view, "a") == queue.items[2].reflection_id
        assert view.reflection == queue.items[3].reflection_id
        await pilot.press("backspace")
        await until(pilot, lambda: view.reflection == queue.items[2].reflection_id)
        assert "✓ accepted" in view.decision
        await pilot.press("space")
        await until(pilot, lambda: view.reflection == queue.items[3].reflection_id)


async def test_a_key_before_the_next_card_is_not_taken_for_the_one_before(build, until, monkeypatch) -> None:
    built = build(60)
    app = ReflectEvoApp(built.workspace)
    may_read = threading.Event()

    def slowly(*arguments: Any) -> Any:
        assert may_read.wait(20)
        return read_card(*arguments)

    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until)
        first = view.reflection
        monkeypatch.setattr(review, "read_card", slowly)
        # All keys but the first arrive while the card, already decided, is still on the screen.
        await pilot.press("a", "4", "r", "n")
        assert view.reflection == first and "1/" in view.status and len(app.screen_stack) == 1
        may_read.set()
        await until(pilot, lambda: view.reflection != first)
        assert "not reviewed" in view.decision and "key ignored" in view.decision
        assert "error kind" not in view.decision
        second = await decide(pilot, until, view, "4", "r")
        assert "key ignored" not in view.decision
        await until(pilot, lambda: len(stored(built.workspace)) == 2)
    assert stored(built.workspace) == [(first, "accept", None, ""), (second, "reject", 4, "")]


@pytest.mark.parametrize("size", SIZES)
async def test_a_card_that_cannot_be_read_says_so_and_space_goes_on(
    build, until, screen_text, monkeypatch, size
) -> None:
    built = build(60)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        view = await opened(app, pilot, until)
        monkeypatch.setattr(review, "read_card", lambda *_: None)
        await pilot.press("a")
        await until(pilot, lambda: view.reflection is None)
        assert "not in the store any more" in screen_text(app) and "space goes to the next" in screen_text(app)
        await pilot.press("r")
        monkeypatch.setattr(review, "read_card", read_card)
        await pilot.press("space")
        await until(pilot, lambda: view.reflection)
        assert "not reviewed" in view.decision and "key ignored" not in view.decision
        await until(pilot, lambda: len(stored(built.workspace)) == 1)


async def test_undo_appends_and_returns(build, until) -> None:
    built = build(30)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until)
        first = await decide(pilot, until, view, "a")
        await pilot.press("u")
        await until(pilot, lambda: view.reflection == first and "not reviewed" in view.decision)
        assert "0/" in view.status
        await decide(pilot, until, view, "5", "r")
        await pilot.press("u")
        await until(pilot, lambda: view.reflection == first)
        await pilot.press("u")
        await pilot.pause(0.1)
        await until(pilot, lambda: len(stored(built.workspace)) == 4)
    found = stored(built.workspace)
    assert found == [
        (first, "accept", None, ""),
        (first, "clear", None, ""),
        (first, "reject", 5, ""),
        (first, "clear", None, ""),
    ]
    left = built.writer.execute("SELECT count(*) FROM trajectories WHERE review <> ''").fetchone()[0]
    assert left == 0, "the list follows the newest decision"


async def test_a_note_and_a_kind_are_taken_along_or_amend(build, until) -> None:
    built = build(30)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until)
        await pilot.press("7", "n", *"odd", "enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen) and "note odd" in view.decision)
        assert "error kind 7 format" in view.decision and stored(built.workspace) == []
        first = await decide(pilot, until, view, "f")
        await pilot.press("backspace")
        await until(pilot, lambda: view.reflection == first)
        await pilot.press("7")
        await until(pilot, lambda: len(stored(built.workspace)) == 2)
        assert view.reflection == first, "amending a decision doesn't move on"
    assert stored(built.workspace) == [(first, "flag", 7, "odd"), (first, "flag", None, "odd")]


async def test_a_decision_that_cannot_be_written_is_kept_and_written_later(build, until, monkeypatch) -> None:
    built = build(30)
    broken = [True]

    def save(connection: sqlite3.Connection, decided: Any) -> None:
        if broken[0]:
            raise sqlite3.OperationalError("disk I/O error [x]")
        add_review(connection, decided.reflection_id, decided.decision)

    monkeypatch.setattr(ReviewScreen, "save", staticmethod(save))
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until)
        first = await decide(pilot, until, view, "a")
        await until(pilot, lambda: "NOT SAVED" in view.status and "disk I/O error [x]" in view.status)
        second = await decide(pilot, until, view, "r")
        await until(pilot, lambda: "2 not saved" in view.status)
        assert stored(built.workspace) == []
        broken[0] = False
        await pilot.press("w")
        await until(pilot, lambda: "NOT SAVED" not in view.status)
    assert [row[:2] for row in stored(built.workspace)] == [(first, "accept"), (second, "reject")]


async def test_the_estimate_follows_and_names_its_tasks(build, until) -> None:
    built = build(60)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until)
        assert "good reflections –" in view.status
        await decide(pilot, until, view, "a")
        assert "good reflections 100 %" in view.status
        assert "letter_counting" in view.status and "chain_sum" in view.status
        await decide(pilot, until, view, "r")
        assert "2/" in view.status


async def test_siblings_can_be_decided_in_passing(build, until) -> None:
    built = build(30)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until)
        detail = view.card.detail
        assert detail is not None and len(detail.siblings) == 2
        first = view.reflection
        by = "l" if detail.siblings[0] == detail.row.id else "h"
        await pilot.press(by)
        await until(pilot, lambda: view.reflection != first)
        other = view.reflection
        await pilot.press("r")
        await until(pilot, lambda: stored(built.workspace))
        assert view.reflection == other, "the item of the sample still waits"
    assert stored(built.workspace)[0][:2] == (other, "reject")


async def test_numbers_are_kinds_and_function_keys_switch(build, until) -> None:
    built = build(30)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(app, pilot, until)
        await pilot.press("1")
        await until(pilot, lambda: "1 calculation" in view.decision)
        assert app.current_mode == "review" and stored(built.workspace) == []
        await pilot.press("f5")
        await until(pilot, lambda: app.current_mode == "lineage")
        await pilot.press("3")
        await until(pilot, lambda: app.current_mode == "review")
        await pilot.press("g", "2")
        await until(pilot, lambda: app.current_mode == "trajectories")


async def test_open_goes_to_the_trajectory(build, until) -> None:
    built = build(30)
    app = ReflectEvoApp(built.workspace)
    seen: list[int] = []
    async with app.run_test(
        size=(160, 50), message_hook=lambda m: seen.append(m.trajectory_id) if isinstance(m, TrajectoryWanted) else None
    ) as pilot:
        view = await opened(app, pilot, until)
        wanted = view.card.detail.row.id if view.card.detail else 0
        await pilot.press("o")
        await until(pilot, lambda: app.current_mode == "trajectories")
        assert wanted in seen


async def test_a_text_is_copied_by_the_own_key_only(build, until, monkeypatch) -> None:
    built = build(0)
    built.add_trajectories(6, text="steal\x1b]52;c;x\x07 it")
    app = ReflectEvoApp(built.workspace)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        assert copied == []
        await pilot.press("y", "r")
        await until(pilot, lambda: copied)
    assert copied == ["steal␛]52;c;x␇ it"]


@pytest.mark.parametrize("size", SIZES)
async def test_nothing_to_review_says_so(empty, until, screen_text, size) -> None:
    app = ReflectEvoApp(empty)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("3")
        await until(pilot, lambda: "No reflection to review yet." in screen_text(app))
        await pilot.press(
            "a",
            "r",
            "f",
            "4",
            "9",
            "e",
            "d",
            "c",
            "n",
            "u",
            "h",
            "l",
            "space",
            "p",
            "v",
            "y",
            "o",
            "j",
            "left_square_bracket",
        )
        assert stored(empty) == []


async def test_an_idle_review_writes_nothing(build, until) -> None:
    built = build(30)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(app, pilot, until)
        await pilot.pause(0.5)
        before = built.writer.execute("PRAGMA data_version").fetchone()[0]
        painted: list[object] = []
        display = app._display
        app._display = lambda screen, one: painted.append(one) or display(screen, one)
        await pilot.pause(1.5)
        assert built.writer.execute("PRAGMA data_version").fetchone()[0] == before
        assert [one for one in painted if one is not None] == []
