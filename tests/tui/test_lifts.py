"""Tests lifts on the screens: a column, an order, filters, and the line in the detail and on the review card."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.review import ReviewScreen
from reflectevo_tui.screens.trajectories import TrajectoriesScreen
from reflectevo_tui.state.review_session import ReviewSession
from reflectevo_tui.state.snapshot import read_snapshot
from reflectevo_tui.state.trajectory_filters import kept_parts, saved_filter
from reflectevo_tui.text.lift_words import lift_filter_label, lift_mark, lift_parts
from reflectevo_tui.widgets.filter_chips import FilterChips
from reflectevo_tui.widgets.line_panel import LinePanel
from reflectevo_tui.widgets.review_card import ReviewCard
from reflectevo_tui.widgets.trajectory_detail import TrajectoryDetailPane
from reflectevo_tui.widgets.trajectory_list import TrajectoryList
from store.curation.review_queue import draw_queue, in_order
from store.database.connection import write
from store.rollouts import attempts
from store.rollouts.attempts import NewAttempt, NewGeneration
from store.rollouts.lift import ReflectionLift, store_lifts
from store.rollouts.trajectories import TrajectoryFilter, page
from store.runs import iterations
from tests.support.built_workspaces import Built

SIZES = [(160, 50), (80, 24)]


def sample(built: Built, *, store: bool = True) -> None:
    """Add three more corrections with each reflection and four second attempts without one, and store the lifts."""
    rows = built.writer.execute(
        "SELECT r.id, a.question_id FROM reflections r JOIN attempts a ON a.id = r.attempt_id ORDER BY r.id"
    ).fetchall()

    def add(question: int, reflection: int | None, number: int, right: bool) -> None:
        made = NewGeneration(
            built.iteration, built.policy, "", number, "again", 9, 3, "stop", 7, "v1", "ab" * 32, 0.1, None
        )
        verdict = "correct" if right else "incorrect"
        attempts.insert_attempt(built.writer, NewAttempt(made, question, 2, reflection, "3", verdict, "", None))

    with write(built.writer):
        for reflection, question in rows:
            for number in (1, 2, 3):
                add(question, reflection, number, number <= reflection % 4)
        for question in {row[1] for row in rows if row[1] % 6}:
            for number in range(4):
                add(question, None, number, number < question % 3)
        if store:
            store_lifts(built.writer, built.iteration)


def chips(screen: TrajectoriesScreen) -> str:
    """Return the text of the chips."""
    return screen.query_one(FilterChips).lines[0].plain


async def listed(app: ReflectEvoApp, pilot: Any, until: Any, total: int) -> TrajectoriesScreen:
    """Return the list once it is counted and its first detail is shown."""
    await pilot.press("2")
    await until(pilot, lambda: isinstance(app.screen, TrajectoriesScreen))
    screen = app.screen
    assert isinstance(screen, TrajectoriesScreen)
    await until(pilot, lambda: screen.query_one(TrajectoryList).total == total)
    await until(pilot, lambda: screen.query_one(TrajectoryDetailPane).detail)
    return screen


@pytest.mark.parametrize("size", SIZES)
async def test_the_list_is_ordered_by_lift_and_shows_it(build, until, screen_text, size) -> None:
    built = build(60)
    sample(built)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        screen = await listed(app, pilot, until, 60)
        rows = screen.query_one(TrajectoryList)
        assert " lift " in screen_text(app) and "   ·  " in screen_text(app)
        for order in ("highest lift", "lowest lift"):
            await pilot.press("s")
            await until(pilot, lambda order=order: f"[{order} first ✕]" in chips(screen) and "…" not in chips(screen))
            expected = page(built.writer, TrajectoryFilter(order=order), limit=60)
            await until(pilot, lambda: rows.row_at(0))
            assert [rows.row_at(place) for place in range(60)] == expected
            assert lift_mark(expected[0].lift) in screen_text(app)
            assert expected[-1].lift is None
        await pilot.press("s")
        await until(pilot, lambda: "60 trajectories" in chips(screen) and rows.row_at(0))
        assert rows.row_at(0).id == 1


@pytest.mark.parametrize("size", SIZES)
async def test_the_detail_states_the_shares(build, until, screen_text, size) -> None:
    built = build(20)
    sample(built)
    best = page(built.writer, TrajectoryFilter(order="highest lift"), limit=1)[0]
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        screen = await listed(app, pilot, until, 20)
        await pilot.press("s")
        pane = screen.query_one(TrajectoryDetailPane)
        await until(pilot, lambda: pane.detail.row.id == best.id and pane.detail.lift)
        await pilot.press("tab", *["j"] * 12)
        shares = pane.detail.lift
        assert shares.lift == best.lift > 0
        await until(
            pilot,
            lambda: (
                f"with it {shares.right_with} of {shares.n_with} right, without it {shares.right_without} of"
                f" {shares.n_without}: lift {lift_mark(best.lift)}" in screen_text(app)
            ),
        )


@pytest.mark.parametrize("size", SIZES)
async def test_filters_by_lift_are_chips(build, until, screen_text, size) -> None:
    built = build(60)
    sample(built)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        screen = await listed(app, pilot, until, 60)
        for downs, wanted, chip in (
            (1, "helped", "[helped ✕]"),
            (2, ">= 0.25", "[lift ≥ +0.25 ✕]"),
            (4, "no difference", "[made no difference ✕]"),
            (6, "unknown", "[lift unknown ✕]"),
        ):
            await pilot.press("F")
            await until(pilot, lambda: "Filter trajectories" in screen_text(app))
            await pilot.press(*["down"] * 9, "right", *["down"] * downs)
            await until(pilot, lambda chip=chip: chip[1:-3] in screen_text(app))
            await pilot.press("enter")
            await until(pilot, lambda chip=chip: chip in chips(screen) and "…" not in chips(screen))
            found = len(page(built.writer, TrajectoryFilter(lift=wanted), limit=60))
            assert 0 < found < 60 and f"60 → {found}" in chips(screen)
        await pilot.press("x")
        await until(pilot, lambda: "60 trajectories" in chips(screen))


async def test_without_lifts_there_is_no_column_and_no_order(build, until, screen_text) -> None:
    """A run with one correction for each reflection looks as it did."""
    built = build(30)
    app = ReflectEvoApp(built.workspace)
    said: list[str] = []
    app.notify = lambda message, **_: said.append(message)
    async with app.run_test(size=(160, 50)) as pilot:
        await listed(app, pilot, until, 30)
        assert " lift " not in screen_text(app)
        await pilot.press("s")
        await until(pilot, lambda: said)
        assert "correction.samples above 1" in said[0]
        assert "first ✕" not in screen_text(app)
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen) and app.screen.query_one(ReviewCard).detail)
        await pilot.press("s")
        await until(pilot, lambda: len(said) == 2)
        assert "without it" not in screen_text(app) and "first" not in decision(app)


async def test_lifts_appear_when_the_corrections_are_complete(build, until, screen_text) -> None:
    """They are stored at once at the end of the rollout, when no further row is appended."""
    built = build(60)
    sample(built, store=False)
    iterations.set_stage(built.writer, built.iteration, "correct", "running")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        screen = await listed(app, pilot, until, 60)
        rows = screen.query_one(TrajectoryList)
        await pilot.press("G")
        await until(pilot, lambda: rows.cursor == 59)
        assert " lift " not in screen_text(app)
        with write(built.writer):
            store_lifts(built.writer, built.iteration)
            iterations.set_stage(built.writer, built.iteration, "correct", "done")
        await until(pilot, lambda: " lift " in screen_text(app) and "+0." in screen_text(app))
        assert rows.cursor == 59, "the cursor stays"


async def review(app: ReflectEvoApp, pilot: Any, until: Any) -> ReviewCard:
    """Return the card of the Review screen once it shows a reflection."""
    await until(pilot, lambda: app.snapshot)
    await pilot.press("3")
    await until(pilot, lambda: isinstance(app.screen, ReviewScreen) and app.screen.query_one(ReviewCard).detail)
    return app.screen.query_one(ReviewCard)


@pytest.mark.parametrize("size", SIZES)
async def test_review_shows_the_lift_and_is_ordered_by_it(build, until, screen_text, size) -> None:
    """The order stays while decisions are written, and the screen states that it biases the estimate."""
    built = build(60)
    sample(built)
    drawn = draw_queue(built.writer, built.iteration, 200, 0)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        card = await review(app, pilot, until)
        assert "no estimate" not in screen_text(app)
        for order in ("highest lift", "lowest lift"):
            before = card.detail.row.id
            await pilot.press("s")
            queue = in_order(drawn, order)
            seen = {row[0] for row in built.writer.execute("SELECT reflection_id FROM reviews")}
            expected = [item for item in queue.items if item.reflection_id not in seen]
            await until(pilot, lambda e=expected: card.detail and card.detail.row.id == e[0].trajectory_id)
            assert card.detail.row.id != before
            text = screen_text(app)
            assert f"lift {lift_mark(expected[0].lift)}" in text and f"{order} first" in text
            assert "no estimate until all are reviewed" in text
            for item, following in itertools.pairwise(expected[:4]):
                await pilot.press("a" if item.lift and item.lift > 0 else "r")
                await until(pilot, lambda f=following: card.detail.row.id == f.trajectory_id)
            await until(pilot, lambda s=seen: len(reviews(built)) == len(s) + 3)
            # The queue is read again while decisions are stored; place and order must not change.
            app.screen.read_iteration()
            await pilot.pause(0.3)
            assert card.detail.row.id == expected[3].trajectory_id
        await pilot.press("s")
        await until(pilot, lambda: "first" not in decision(app))
        assert "no estimate until all are reviewed" in screen_text(app), "what was reviewed was chosen by lift"


def reviews(built: Built) -> list[Any]:
    """Return the stored decisions."""
    return built.writer.execute("SELECT id FROM reviews").fetchall()


def decision(app: ReflectEvoApp) -> str:
    """Return the line below the review card."""
    return "".join(line.plain for line in app.screen.query_one("#review-decision", LinePanel).lines)


def test_an_order_of_the_sample_keeps_its_items_and_ties() -> None:
    """Equal lifts stay in the order of the sample, unknown ones are last both ways."""
    from store.curation.review_queue import QueueItem, ReviewQueue

    lifts = (None, 0.5, -0.25, 0.5, 0.0, None, -0.25)
    drawn = ReviewQueue(
        tuple(QueueItem(n, 10 + n, "quiz", "i→c", "1-1-1", "", lift) for n, lift in enumerate(lifts)),
        {("quiz", "i→c"): 7},
    )
    places = {order: [one.trajectory_id for one in in_order(drawn, order).items] for order in (None, "highest lift")}
    assert places == {None: list(range(7)), "highest lift": [1, 3, 4, 2, 6, 0, 5]}
    assert [one.trajectory_id for one in in_order(drawn, "lowest lift").items] == [2, 6, 4, 1, 3, 0, 5]
    session = ReviewSession()
    session.take_queue(drawn, {11: "accept"}, False)
    assert session.reorder("highest lift").trajectory_id == 3, "the first without a decision"
    session.decide(3, 13, "accept")
    session.take_queue(drawn, {11: "accept", 13: "accept"}, False)
    assert session.item.trajectory_id == 3 and session.go_next().trajectory_id == 4
    assert session.biased and session.reorder(None).trajectory_id == 0 and session.biased
    for item in drawn.items:
        session.decide(item.trajectory_id, item.reflection_id, "accept")
    assert not session.biased, "a complete sample is random again"


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        (ReflectionLift(3, 4, 1, 4), "with it 3 of 4 right, without it 1 of 4: lift +0.50"),
        (ReflectionLift(0, 4, 1, 4), "with it 0 of 4 right, without it 1 of 4: lift −0.25"),
        (ReflectionLift(2, 4, 1, 2), "with it 2 of 4 right, without it 1 of 2: lift 0.00"),
        (ReflectionLift(3, 4, 0, 0), "with it 3 of 4 right, without it none verified: lift unknown"),
        (ReflectionLift(0, 0, 1, 4), "with it none verified, without it 1 of 4: lift unknown"),
    ],
)
def test_words_of_a_lift(shares: ReflectionLift, words: str) -> None:
    assert "".join(text for text, _ in lift_parts(shares)) == words


def test_filters_and_orders_are_saved_by_name_and_unknown_ones_are_dropped() -> None:
    wanted = TrajectoryFilter(iteration=3, lift=">= 0.5", order="lowest lift")
    assert saved_filter(kept_parts(wanted)) == TrajectoryFilter(lift=">= 0.5", order="lowest lift")
    assert saved_filter({"order": "newest"}) == TrajectoryFilter()
    assert lift_filter_label(">= 0.5") == "lift ≥ +0.50" and lift_filter_label("hurt") == "hurt"


def test_a_snapshot_reads_no_lift(build) -> None:
    """The poller reads the store several times a second: nothing is computed or counted for lifts."""
    built = build(30)
    sample(built)
    statements: list[str] = []
    built.writer.set_trace_callback(statements.append)
    read_snapshot(built.writer, built.workspace)
    built.writer.set_trace_callback(None)
    plans = [
        row["detail"]
        for text in statements
        if text.startswith("SELECT")
        for row in built.writer.execute(f"EXPLAIN QUERY PLAN {text}")
    ]
    assert plans and not [plan for plan in plans if "lift" in plan]
