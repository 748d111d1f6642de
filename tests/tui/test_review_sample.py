"""Tests the sample of the Review screen: its size and seed, and their input by an operator."""

from __future__ import annotations

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.state.review_reader import sample_numbers
from store.curation.review_queue import draw_queue
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
