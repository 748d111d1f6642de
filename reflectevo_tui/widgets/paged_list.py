"""A list that holds one page of rows and requests the next or the previous one when the cursor leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from reflectevo_tui.text import display
from reflectevo_tui.widgets.line_panel import LinePanel


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A row: its id in the store, and its line."""

    key: int
    line: Content


class PagedList(LinePanel, can_focus=True):
    """Rows in key order. `before` and `after` state whether there are further rows beyond the page."""

    BINDING_GROUP_TITLE = "In the list"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(-1)", "up", show=False),
        Binding("down,j", "step(1)", "down", show=False),
        Binding("pageup,ctrl+b", "leap(-1)", "page up", show=False),
        Binding("pagedown,ctrl+f", "leap(1)", "page down", show=False),
        Binding("home", "edge(-1)", "first of the page, then earlier ones", show=False),
        Binding("end", "edge(1)", "last of the page, then later ones", show=False),
        Binding("enter", "open", "open", show=False),
    ]

    class PageWanted(Message):
        """Posted to request the rows after (`direction` 1) or before (-1) a key."""

        def __init__(self, key: int, direction: int) -> None:
            super().__init__()
            self.key = key
            self.direction = direction

    class CursorMoved(Message):
        """Posted when the cursor moves to another row."""

        def __init__(self, key: int) -> None:
            super().__init__()
            self.key = key

        def can_replace(self, message: Message) -> bool:
            """Return whether this message replaces `message`: only the latest cursor position matters."""
            return isinstance(message, PagedList.CursorMoved)

    class Opened(Message):
        """Posted when the operator opens a row."""

        def __init__(self, key: int) -> None:
            super().__init__()
            self.key = key

    def __init__(self, title: str, empty: str, *, id: str) -> None:
        super().__init__(title, id=id, classes="panel")
        self._empty = empty
        self._rows: tuple[ListedRow, ...] = ()
        self._cursor = self._top = 0
        self._before = self._after = False

    @property
    def key(self) -> int | None:
        """Key of the row under the cursor."""
        return self._rows[self._cursor].key if self._rows else None

    def say_empty(self, words: str) -> None:
        """Show a message that explains why the list is empty."""
        self._empty = words

    def show_rows(
        self, rows: Sequence[ListedRow], *, before: bool = False, after: bool = False, at_end: bool = False
    ) -> None:
        """Show a page; the cursor stays on its row if the page contains it, else it moves to the start or the end."""
        kept = self.key
        self._rows, self._before, self._after = tuple(rows), before, after
        keys = [row.key for row in self._rows]
        if kept in keys:
            self._cursor = keys.index(kept)
        else:
            self._cursor = len(keys) - 1 if at_end and keys else 0
        self._draw()
        self._tell(kept)

    def _tell(self, before: int | None) -> None:
        if self.key is not None and self.key != before:
            self.post_message(self.CursorMoved(self.key))

    def _draw(self) -> None:
        height = max(self.size.height, 1)
        if not self._rows:
            self.show_lines([display.line((one, "$quiet")) for one in self._empty.split("\n")])
            return
        self._top = min(max(self._top, self._cursor - height + 1), self._cursor)
        self._top = max(min(self._top, len(self._rows) - height), 0)
        shown = range(self._top, min(self._top + height, len(self._rows)))
        self.show_lines(
            [
                display.joined(
                    [
                        display.line(
                            ("▸ " if place == self._cursor else "  ", "bold $accent" if self.has_focus else "$quiet")
                        ),
                        self._rows[place].line,
                    ]
                )
                for place in shown
            ]
        )

    def on_focus(self) -> None:
        """Redraw the cursor, which is highlighted only while the widget has the focus."""
        self._draw()

    def on_blur(self) -> None:
        """Redraw the cursor; see `on_focus`."""
        self._draw()

    def on_resize(self) -> None:
        """Show as many rows as fit."""
        super().on_resize()
        self._draw()

    def action_step(self, by: int) -> None:
        """Move by rows; beyond the page, the adjacent one is requested."""
        if not self._rows:
            return
        before, wanted = self.key, self._cursor + by
        self._cursor = min(max(wanted, 0), len(self._rows) - 1)
        self._draw()
        self._tell(before)
        if wanted < 0 and self._before:
            self.post_message(self.PageWanted(self._rows[0].key, -1))
        elif wanted >= len(self._rows) and self._after:
            self.post_message(self.PageWanted(self._rows[-1].key, 1))

    def action_leap(self, direction: int) -> None:
        """Move by one screenful."""
        self.action_step(direction * max(self.size.height - 1, 1))

    def action_edge(self, direction: int) -> None:
        """Move to the edge of the page, or from there to the adjacent page."""
        distance = len(self._rows) - 1 - self._cursor if direction > 0 else self._cursor
        self.action_step(direction * max(distance, 1))

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self.key is not None:
            self.post_message(self.Opened(self.key))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked row."""
        self.action_step(self._top + event.y - 1 - self._cursor)
