"""Tests hostile model text of every kind on every screen: no exception, no control character sent to the terminal."""

from __future__ import annotations

import time
import unicodedata

import pytest
from textual.app import App

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.widgets.trajectory_detail import TrajectoryDetailPane
from store.control import telemetry
from store.curation.reviews import add_review
from store.records import LiveText
from store.runs import iterations

SHORT = [
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "\x1b]52;c;aGVsbG8=\x07",
    "[/b] [@click=app.bell]click[/] [link=http://x]y[/link] [bold",
    "bidi \u202egnirts\u202c \u2066x\u2069 zero\u200bwidth\u200d\ufeff \U000e0041",
    "nul \x00 c1 \x9b31m \x85 del \x7f vt \x0b ff \x0c cr \r bs \x08",
    "lone \ud800 surrogate \udfff end",
]
LONG = [
    "x" * 200_000,
    "word " * 40_000,
    "wide 漢字 " * 50 + "\n" * 5_000 + "e\u0301" * 500,
]
CASES = [
    *((text, (160, 50)) for text in (" ".join(SHORT), *LONG)),
    (" ".join(reversed(SHORT)), (80, 24)),
]


def unsafe(app: App[None]) -> set[str]:
    """Return the control, format and surrogate characters that the screen would write."""
    found = set()
    for strip in app.screen._compositor.render_strips():
        for segment in strip:
            if not segment.control:
                found |= {c for c in segment.text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    return found


@pytest.mark.parametrize(("text", "size"), CASES, ids=range(len(CASES)))
async def test_no_screen_passes_it_on(build, until, text, size) -> None:
    built = build(0)
    built.add_trajectories(4, text=text)
    built.run_flow()
    built.beat()
    stored = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    telemetry.put_live_text(built.writer, [LiveText(0, "reflection", 1, stored[:50], stored[:50], text, time.time())])
    telemetry.add_event(built.writer, "error", stored[:50], text)
    iterations.set_note(built.writer, built.iteration, "attempt", stored)
    iterations.set_stage(built.writer, built.iteration, "train", "failed", stored)
    iterations.update_iteration(built.writer, built.iteration, reason=stored, state="failed")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot and app.snapshot.newest)
        await pilot.pause(0.1)
        assert unsafe(app) == set()
        app.say(text[:500], "error")
        await pilot.pause(0.1)
        assert unsafe(app) == set()
        await pilot.press("2")
        await until(
            pilot, lambda: app.screen.query(TrajectoryDetailPane) and app.screen.query_one(TrajectoryDetailPane).detail
        )
        await pilot.press("j")
        await pilot.pause(0.3)
        assert unsafe(app) == set()
        await pilot.press("tab", "pagedown", "right_square_bracket", "end")
        await pilot.pause(0.1)
        assert unsafe(app) == set()


@pytest.mark.parametrize(("text", "size"), CASES, ids=range(len(CASES)))
async def test_no_other_screen_passes_it_on(build, until, text, size) -> None:
    built = build(0)
    built.add_trajectories(6, text=text)
    stored = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    child = built.add_child()
    built.writer.execute("UPDATE policies SET reason = ?, setting = ? WHERE id = ?", (stored, stored[:40], child))
    built.curate()
    built.writer.execute("UPDATE curated SET reason = ? WHERE NOT included", (stored[:60],))
    telemetry.put_capability(
        built.writer, "instructions", {"verify": [stored[:200]] * 2, "locate": [stored[:200]] * 8, "plan": ["x", "y"]}
    )
    reflection = built.writer.execute("SELECT max(id) FROM reflections").fetchone()[0]
    add_review(built.writer, reflection, "reject", error_kind=2, note=stored[:300], reviewer=stored[:30])
    (built.workspace.logs / "engine.log").write_bytes(text.encode("utf-8", "surrogatepass") + b"\n")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot and app.snapshot.iterations)
        for key, more in (
            ("f3", ("backspace", "right_square_bracket", "n", "escape", "y", "escape", "p", "escape")),
            ("f4", ("r", "down", "c", "c")),
            ("f5", ("space", "up", "space", "tab", "end")),
            ("f6", ("right", "tab")),
            ("f8", ("pageup", "slash", "x", "enter")),
        ):
            await pilot.press(key)
            await pilot.pause(0.25)
            assert unsafe(app) == set(), key
            for press in more:
                await pilot.press(press)
                await pilot.pause(0.05)
                assert unsafe(app) == set(), (key, press)


async def test_a_long_text_is_paged_through(build, until, screen_text) -> None:
    built = build(0)
    built.add_trajectories(2, text="x" * 200_000)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("2")
        pane = lambda: app.screen.query_one(TrajectoryDetailPane)  # noqa: E731
        await until(pilot, lambda: app.screen.query(TrajectoryDetailPane) and pane().detail)
        assert pane().virtual_size.height <= 4_000
        await pilot.press("tab", "right_square_bracket")
        await until(pilot, lambda: pane()._part == 1)
        await pilot.press("left_square_bracket")
        assert pane()._part == 0
