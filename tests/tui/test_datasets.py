"""Tests Datasets: every row is counted, reviewers see the effect of their decisions, an example is shown by tokens."""

from __future__ import annotations

from typing import Any

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.engine_client.process import EngineUnavailable
from reflectevo_tui.screens.datasets import PAGE_ROWS, DatasetsScreen
from reflectevo_tui.screens.dialogs.example_tokens import ExampleDialog, token_content
from reflectevo_tui.state.messages import TrajectoryWanted
from reflectevo_tui.widgets.line_panel import LinePanel
from reflectevo_tui.widgets.paged_list import PagedList
from store.curation import curated
from store.curation.curated import NewCurated
from store.curation.reviews import add_review
from store.database.connection import write
from store.runs import iterations
from tests.support.built_workspaces import Built

SIDES = [
    {
        "name": "chosen",
        "tokens": [
            {"text": "Question [b]\n", "id": 1, "loss": False},
            {"text": " why\x1b]52;c;x\x07", "id": 2, "loss": False},
            {"text": " Because", "id": 3, "loss": True},
            {"text": " so", "id": 4, "loss": True},
        ],
        "length": 4,
    },
    {"name": "rejected", "tokens": [{"text": "other side", "id": 9, "loss": True}], "length": 1},
]
ANSWER = {"id": 1, "sides": SIDES, "length": 4, "max_length": 2048, "fits": True, "reason": ""}


def curate(built: Built) -> list[int]:
    """Store D+ with reasons and a reviewer's reject, and a D± pair; returns the reflections in D+."""
    rows = built.writer.execute(
        "SELECT reflection_id, correction_id, transition FROM trajectories WHERE correction_id IS NOT NULL ORDER BY id"
    ).fetchall()
    helped = [row for row in rows if row[2] == "i→c"]
    new = [NewCurated("d_plus", row[0], None, row[1], False, "correction incorrect") for row in rows if row[2] != "i→c"]
    new += [NewCurated("d_plus", helped[0][0], None, helped[0][1], False, "human reject")]
    new += [NewCurated("d_plus", row[0], None, row[1], True, "included") for row in helped[1:]]
    new += [NewCurated("d_pm", helped[1][0], rows[0][0], helped[1][1], True, "included")]
    with write(built.writer):
        curated.replace_curated(built.writer, built.iteration, new)
        iterations.set_stage(built.writer, built.iteration, "curate", "running")
        iterations.set_stage(built.writer, built.iteration, "curate", "done")
    return [row[0] for row in helped[1:]]


async def opened(app: ReflectEvoApp, pilot: Any, until: Any) -> DatasetsScreen:
    """Return the screen with its counts."""
    await until(pilot, lambda: app.snapshot)
    await pilot.press("4")
    await until(pilot, lambda: isinstance(app.screen, DatasetsScreen) and app.screen._facts.counts)
    assert isinstance(app.screen, DatasetsScreen)
    return app.screen


def lines(app: ReflectEvoApp, name: str) -> str:
    """Return the text of a panel."""
    return "\n".join(line.plain for line in app.screen.query_one(f"#{name}", LinePanel).lines)


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_the_funnel_accounts_for_every_row(build, until, size) -> None:
    built = build(150)
    included = curate(built)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: f"D+ {len(included)}" in lines(app, "dataset-sets"))
        funnel = lines(app, "dataset-funnel")
        for words in ("attempts", "reflections", "i→c", "included", "− correction incorrect", "✎ human reject"):
            assert words in funnel, words
        assert "✎ 1 left out by reviewers" in funnel and "not applied" not in funnel
        counts = lines(app, "dataset-counts")
        assert "by task" in counts and "by instruction" in counts


async def test_later_reviews_are_announced(build, until) -> None:
    built = build(60)
    included = curate(built)
    add_review(built.writer, included[0], "reject")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(app, pilot, until)
        assert "1 decision not applied yet; the next curation applies it" in lines(app, "dataset-funnel")


async def test_r_lists_the_rows_behind_each_reason(build, until) -> None:
    built = build(60)
    curate(built)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        screen = await opened(app, pilot, until)
        await pilot.press("r")
        await until(pilot, lambda: screen._rows and all(not row.included for row in screen._rows.values()))
        assert {row.reason for row in screen._rows.values()} == {"correction incorrect"}
        await pilot.press("r")
        await until(pilot, lambda: {row.reason for row in screen._rows.values()} == {"human reject"})
        await pilot.press("r")
        await until(pilot, lambda: all(row.included for row in screen._rows.values()) and len(screen._rows) > 1)
        await pilot.press("tab")
        await until(pilot, lambda: all(row.other_excerpt for row in screen._rows.values()) and len(screen._rows) == 1)


async def test_pages_follow_the_cursor_both_ways(build, until) -> None:
    built = build(40)
    reflection, correction = built.writer.execute(
        "SELECT reflection_id, correction_id FROM trajectories WHERE correction_id IS NOT NULL LIMIT 1"
    ).fetchone()
    built.writer.execute("DROP INDEX curated_rows")
    with write(built.writer):
        curated.replace_curated(
            built.writer,
            built.iteration,
            [NewCurated("d_plus", reflection, None, correction, True, "included") for _ in range(3 * PAGE_ROWS + 5)],
        )
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        screen = await opened(app, pilot, until)
        listed = screen.query_one(PagedList)
        await until(pilot, lambda: listed.key == 1)
        for last in (PAGE_ROWS, 2 * PAGE_ROWS, 3 * PAGE_ROWS):
            await pilot.press("end", "down")
            await until(pilot, lambda last=last: listed.key == last + 1)
            assert len(screen._rows) <= PAGE_ROWS
        await pilot.press("end")
        assert listed.key == 3 * PAGE_ROWS + 5
        await pilot.press("down")
        await pilot.pause(0.1)
        assert listed.key == 3 * PAGE_ROWS + 5
        await pilot.press("home", "up")
        await until(pilot, lambda: listed.key == 3 * PAGE_ROWS)


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_tokens_are_shown_with_their_mask(build, until, screen_text, monkeypatch, size) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        "reflectevo_tui.screens.dialogs.example_tokens.ask_engine", lambda *arguments: asked.append(arguments) or ANSWER
    )
    built = build(60)
    curate(built)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        screen = await opened(app, pilot, until)
        await until(pilot, lambda: screen.query_one(PagedList).key)
        key = screen.query_one(PagedList).key
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ExampleDialog) and "⟦ Because so⟧" in screen_text(app))
        shown = screen_text(app)
        assert "Question [b]⏎" in shown and "why␛]52" in shown and "✓ fits" in shown and "[chosen]" in shown
        assert "2 trained on" in shown
        await pilot.press("b")
        await until(pilot, lambda: "Because· so⟧" in screen_text(app))
        await pilot.press("tab")
        await until(pilot, lambda: "⟦other side⟧" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
    assert asked == [("example", "-w", str(built.workspace.root), "--curated", str(key))]


async def test_without_the_engine_it_says_so(build, until, screen_text, monkeypatch) -> None:
    def refuse(*_: str) -> None:
        raise EngineUnavailable("this run is scripted: it has no [model]")

    monkeypatch.setattr("reflectevo_tui.screens.dialogs.example_tokens.ask_engine", refuse)
    built = build(60)
    curate(built)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, until)
        await until(pilot, lambda: screen.query_one(PagedList).key)
        await pilot.press("enter")
        await until(pilot, lambda: "[model]" in screen_text(app))
        await pilot.press("b", "tab", "right_square_bracket", "escape")


async def test_o_opens_the_trajectory(build, until) -> None:
    built = build(60)
    curate(built)
    wanted: list[int] = []
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(
        size=(160, 50),
        message_hook=lambda m: wanted.append(m.trajectory_id) if isinstance(m, TrajectoryWanted) else None,
    ) as pilot:
        screen = await opened(app, pilot, until)
        await until(pilot, lambda: screen.query_one(PagedList).key)
        await pilot.press("o")
        await until(pilot, lambda: app.current_mode == "trajectories")
    row = built.writer.execute("SELECT reflection_id FROM trajectories WHERE id = ?", (wanted[0],)).fetchone()
    first = built.writer.execute("SELECT min(id), reflection_id FROM curated WHERE included = 1").fetchone()
    assert row[0] == first[1]


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_nothing_curated_says_what_makes_it(build, until, screen_text, size) -> None:
    app = ReflectEvoApp(build(10).workspace)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("4")
        await until(pilot, lambda: "This set was not curated." in screen_text(app))
        await pilot.press("tab", "r", "enter", "o", "c", "c", "comma")


def test_a_long_example_has_parts_and_the_mask_survives_the_cut() -> None:
    tokens = [{"text": f"t{n} ", "loss": n >= 1500} for n in range(4500)]
    first, second, last = (token_content(tokens, edges=False, part=part).plain for part in range(3))
    assert first.count("⟦") == 1 and "⟧" not in first
    assert second.startswith("t2000") and "⟧" not in second
    assert last.endswith("⟧") and "⟦" not in last
