"""The human-readable event log of the engine, newest at the end; can be scrolled back while it has the focus."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.text import display
from reflectevo_tui.widgets.line_panel import LinePanel
from store.records import Event

_LEVELS = {
    "debug": (" ", "$quiet"),
    "info": ("·", "$quiet"),
    "warning": ("!", "bold $warning"),
    "error": ("✗", "bold $error"),
}


def event_line(event: Event) -> Content:
    """Format time, level, source and text of an event."""
    glyph, style = _LEVELS[event.level]
    return display.line(
        (time.strftime("%H:%M:%S", time.localtime(event.created)), "$quiet"),
        (f" {glyph} ", style),
        (f"{event.source}: ", "$quiet"),
        (display.one_line(event.text), style if event.level in ("warning", "error") else ""),
    )


class EventLog(LinePanel, can_focus=True):
    """The end of the log, or an earlier part after the operator has scrolled back."""

    BINDING_GROUP_TITLE = "In the list Events"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "back(1)", "older", show=False),
        Binding("down,j", "back(-1)", "newer", show=False),
        Binding("pageup", "page(1)", "page back", show=False),
        Binding("pagedown", "page(-1)", "page forward", show=False),
        Binding("end,G", "newest", "newest", show=False),
    ]

    def __init__(self) -> None:
        super().__init__("Events", id="events", classes="panel")
        self._events: tuple[Event, ...] = ()
        self._back = 0

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot; a part that was scrolled back to keeps its position."""
        if self._back and self._events and snapshot.events:
            self._back += sum(event.id > self._events[-1].id for event in snapshot.events)
        self._events = snapshot.events
        self._draw()

    def _draw(self) -> None:
        height = max(self.size.height, 1)
        self._back = min(max(self._back, 0), max(len(self._events) - height, 0))
        end = len(self._events) - self._back
        shown = self._events[max(end - height, 0) : end]
        self.set_title(display.line(f"Events · {self._back} newer below" if self._back else "Events"))
        lines = [event_line(event) for event in shown]
        self.show_lines(lines or [display.line(("no event yet", "$quiet"))])

    def on_resize(self) -> None:
        """Show as many events as fit."""
        super().on_resize()
        self._draw()

    def action_back(self, by: int) -> None:
        """Scroll by lines; positive values scroll towards older events."""
        self._back += by
        self._draw()

    def action_page(self, direction: int) -> None:
        """Scroll by one screenful."""
        self.action_back(direction * max(self.size.height - 1, 1))

    def action_newest(self) -> None:
        """Return to the end of the log and follow it."""
        self._back = 0
        self._draw()
