"""The parts of the Review screen that its tests read, and the keys that decide."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.review import ReviewScreen
from reflectevo_tui.widgets.line_panel import LinePanel
from reflectevo_tui.widgets.review_card import ReviewCard
from reflectevo_tui.widgets.review_status import ReviewStatus
from store.database.connection import open_reader
from store.workspace import Workspace

SIZES = [(160, 50), (80, 24)]


def stored(workspace: Workspace) -> list[tuple[int, str, int | None, str]]:
    """Return every review, oldest first."""
    with closing(open_reader(workspace.database)) as reader:
        rows = reader.execute("SELECT reflection_id, decision, error_kind, note FROM reviews ORDER BY id").fetchall()
    return [tuple(row) for row in rows]


class View:
    """The parts of the screen that tests read."""

    def __init__(self, app: ReflectEvoApp) -> None:
        assert isinstance(app.screen, ReviewScreen)
        self.screen = app.screen
        self.card = app.screen.query_one(ReviewCard)

    @property
    def reflection(self) -> int | None:
        """Return the id of the reflection on the screen."""
        detail = self.card.detail
        return detail.reflection.id if detail and detail.reflection else None

    @property
    def status(self) -> str:
        """Return the lines above the card."""
        return "\n".join(line.plain for line in self.screen.query_one(ReviewStatus).lines)

    @property
    def decision(self) -> str:
        """Return the line below the card."""
        return "".join(line.plain for line in self.screen.query_one("#review-decision", LinePanel).lines)


async def opened(app: ReflectEvoApp, pilot: Any, until: Any) -> View:
    """Return the screen with its first card."""
    await until(pilot, lambda: app.snapshot)
    await pilot.press("3")
    await until(pilot, lambda: isinstance(app.screen, ReviewScreen) and View(app).reflection)
    return View(app)


async def decide(pilot: Any, until: Any, view: View, *keys: str) -> int:
    """Press keys, the last of which decides; returns the decided reflection once the next one is shown."""
    before = view.reflection
    await pilot.press(*keys)
    await until(pilot, lambda: view.reflection != before)
    assert before is not None
    return before
