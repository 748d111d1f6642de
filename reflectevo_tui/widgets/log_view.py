"""A part of a log: follows the end, or keeps the position scrolled to. Long lines wrap; levels have a marker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from reflectevo_tui.state.log_reader import Level, level_of
from reflectevo_tui.text import display
from reflectevo_tui.widgets.line_panel import LinePanel

MARKS: dict[Level, tuple[str, str]] = {
    "error": ("✗ ", "bold $error"),
    "warning": ("! ", "bold $warning"),
    "info": ("· ", "$quiet"),
    "plain": ("  ", ""),
}


def log_line(line: str, width: int) -> list[Content]:
    """Wrap a log line to a width and mark its level."""
    mark, style = MARKS[level_of(line)]
    body = display.text(line, style if mark in ("✗ ", "! ") else "")
    pieces = body.wrap(max(width - 2, 1)) if line else [body]
    return [
        display.joined([display.line((mark if not place else "  ", style)), piece])
        for place, piece in enumerate(pieces)
    ]


class LogView(LinePanel, can_focus=True):
    """The lines of the loaded tail, numbered from its start; `bottom` is the last displayed line."""

    BINDING_GROUP_TITLE = "In the log"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "back(1)", "older", show=False),
        Binding("down,j", "back(-1)", "newer", show=False),
        Binding("pageup,ctrl+b", "page(1)", "page back", show=False),
        Binding("pagedown,ctrl+f", "page(-1)", "page forward", show=False),
        Binding("home", "oldest", "oldest that is held", show=False),
        Binding("end,G", "follow", "follow the end", show=False),
        Binding("e", "error(1)", "earlier error or warning", show=False),
    ]

    def __init__(self) -> None:
        super().__init__("Log", id="log-view", classes="panel")
        self._held: tuple[str, ...] = ()
        self._bottom = 0
        self._empty = ""
        self.following = True

    def show_text(self, title: Content, lines: Sequence[str], empty: str) -> None:
        """Replace the lines; unless the end is followed, the position is kept relative to the end."""
        grown = len(lines) - len(self._held)
        self._held, self._empty = tuple(lines), empty
        if self.following:
            self._bottom = len(self._held)
        else:
            # Lines dropped at the start of a full tail would otherwise shift the displayed part.
            self._bottom = min(max(self._bottom + min(grown, 0), 0), len(self._held))
        self._title_text = title
        self._draw()

    _title_text = display.line("Log")

    def _draw(self) -> None:
        width, height = self.size
        if not width or not height:
            return
        if not self._held:
            self.set_title(self._title_text)
            self.show_lines([display.line((self._empty, "$quiet"))])
            return
        shown: list[Content] = []
        place = self._bottom
        while place > 0 and len(shown) < height:
            place -= 1
            shown = [*log_line(self._held[place], width), *shown]
        state = " · following" if self.following else f" · {len(self._held) - self._bottom} lines below"
        self.set_title(display.joined([self._title_text, display.line((state, "$quiet"))]))
        self.show_lines(shown[-height:])

    def on_resize(self) -> None:
        """Wrap the lines to the new width."""
        super().on_resize()
        self._draw()

    def action_back(self, by: int) -> None:
        """Scroll by lines; positive values scroll towards older lines."""
        self._bottom = min(max(self._bottom - by, min(self.size.height, len(self._held))), len(self._held))
        self.following = self._bottom == len(self._held)
        self._draw()

    def action_page(self, direction: int) -> None:
        """Scroll by one screenful."""
        self.action_back(direction * max(self.size.height - 1, 1))

    def action_oldest(self) -> None:
        """Scroll to the start of the loaded tail."""
        self.action_back(len(self._held))

    def action_follow(self) -> None:
        """Scroll to the end and follow it."""
        self.action_back(-len(self._held))

    def action_error(self, by: int) -> None:
        """Scroll to the error or warning before the displayed lines."""
        for place in range(self._bottom - 1, 0, -1):
            if level_of(self._held[place - 1]) in ("error", "warning"):
                self.action_back(self._bottom - place)
                return
        self.notify("No earlier error or warning in what is held.", markup=False)
