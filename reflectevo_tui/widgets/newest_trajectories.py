"""The most recently finished trajectories; the one under the cursor can be opened in Trajectories."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.text import display, formatting
from reflectevo_tui.widgets.line_panel import LinePanel
from store.records import TrajectoryRow

TRANSITION_STYLES = {"i→c": "bold $success", "c→i": "bold $error", "c→c": "$success", "c": "$success"}
"""Styles of the most important transitions; the letters convey the meaning without colour."""


def newest_line(row: TrajectoryRow, chosen: bool) -> Content:
    """Format one trajectory in one line."""
    return display.line(
        ("▸ " if chosen else "  ", "bold $accent"),
        (f"{row.transition:<4}", TRANSITION_STYLES.get(row.transition, "")),
        f"{formatting.count(row.id):>9} ",
        (display.fitted(row.task, 16), "$quiet"),
        (f" {row.instruction:<8}", "$quiet"),
        display.one_line(row.excerpt[:160]),
    )


class NewestList(LinePanel, can_focus=True):
    """The most recent trajectories, newest first; arrow keys select, enter opens."""

    BINDING_GROUP_TITLE = "In the list Newest"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("enter", "open", "open in Trajectories", show=False),
    ]

    class Opened(Message):
        """Posted when the operator opens a trajectory."""

        def __init__(self, trajectory_id: int) -> None:
            super().__init__()
            self.trajectory_id = trajectory_id

    def __init__(self) -> None:
        super().__init__("Newest", id="newest", classes="panel")
        self._rows: tuple[TrajectoryRow, ...] = ()
        self._cursor = 0

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot."""
        self._rows = snapshot.newest
        self._draw()

    def _draw(self) -> None:
        self._cursor = min(self._cursor, max(len(self._rows) - 1, 0))
        if not self._rows:
            self.show_lines([display.line(("no trajectory yet", "$quiet"))])
            return
        self.show_lines(
            [newest_line(row, position == self._cursor and self.has_focus) for position, row in enumerate(self._rows)]
        )

    def on_focus(self) -> None:
        """Redraw the cursor, which is visible only while the widget has the focus."""
        self._draw()

    def on_blur(self) -> None:
        """Redraw the cursor; see `on_focus`."""
        self._draw()

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self._cursor = min(max(self._cursor + by, 0), max(min(len(self._rows), self.size.height) - 1, 0))
        self._draw()

    def action_open(self) -> None:
        """Open the trajectory under the cursor."""
        if self._rows:
            self.post_message(self.Opened(self._rows[self._cursor].id))
