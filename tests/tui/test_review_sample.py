"""Tests the sample of the Review screen: its size and seed, and their input by an operator."""

from __future__ import annotations

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.state.review_reader import sample_numbers
from reflectevo_tui.state.review_session import Draft, ReviewSession
from reflectevo_tui.widgets.review_decision import naming_line
from store.curation.review_queue import QueueItem, ReviewQueue, draw_queue
from store.curation.reviews import Sample
from tests.tui.test_review import opened


async def test_another_sample_size_and_seed(build, until, screen_text) -> None:
    built = build(60)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        view = await opened(app, pilot, until)
        await pilot.press("t")
        await until(pilot, lambda: "Sample size and seed" in screen_text(app))
        await pilot.press("ctrl+u", *"10", "space", "7", "enter")
        await until(pilot, lambda: "sample 10, seed 7" in view.status)
        wanted = draw_queue(built.writer, built.iteration, 10, 7)
        await until(
            pilot,
            lambda: (
                view.reflection == wanted.items[0].reflection_id
                or view.reflection in {item.reflection_id for item in wanted.items}
            ),
        )


def test_sample_numbers_are_read_or_refused() -> None:
    assert sample_numbers("200") == (200, None)
    assert sample_numbers(" 200, 7 ") == (200, 7)
    for wrong in ("", "0", "x", "1 2 3", "-5", "2000000"):
        assert sample_numbers(wrong) is None


def test_what_is_read_in_the_order_of_the_lift_is_of_no_random_sample() -> None:
    """Its shares would be those of the reflections with the highest lift."""
    items = tuple(QueueItem(n, n, "quiz", "i→i", "1-1-1", "", n / 4) for n in range(4))
    session = ReviewSession()
    session.take_queue(ReviewQueue(items, {("quiz", "i→i"): 4}, Sample(4, 1)), {}, False)
    assert session.decide(0, 0, "accept").sample == Sample(4, 1)
    assert session.decide(99, 99, "accept").sample is None, "a sibling outside the sample"
    first = session.reorder("highest lift")
    assert first is not None and first.trajectory_id == 3
    assert session.decide(3, 3, "accept").sample is None
    session.amend(3, 3, Draft(1, "", "yes"))
    assert session.biased and session.errors.names_n == 1
    assert "so far" not in naming_line(None, session.errors, session.biased).plain
    session.reorder(None)
    assert session.decide(1, 1, "accept").sample == Sample(4, 1)
