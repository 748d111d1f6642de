"""The second line of every screen: which screens there are, by their number keys. A click switches too."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.message import Message

from reflectevo_tui import display
from reflectevo_tui.widgets.line_panel import LinePanel


@dataclass(frozen=True, slots=True)
class ScreenTab:
    """A screen in the bar: its key, its mode, its title."""

    key: str
    mode: str
    title: str


class ScreenTabs(LinePanel):
    """The bar of screens, the current one standing out."""

    class Chosen(Message):
        """The operator clicked on a screen."""

        def __init__(self, mode: str) -> None:
            super().__init__()
            self.mode = mode

    def __init__(self, tabs: tuple[ScreenTab, ...], current: str) -> None:
        super().__init__(id="tabs")
        self._tabs = tabs
        self._current = current

    def on_mount(self) -> None:
        """Draw the bar."""
        self._draw()

    def on_resize(self) -> None:
        """Keep the help hint at the right edge."""
        super().on_resize()
        self._draw()

    def _draw(self) -> None:
        parts: list[tuple[str, str]] = []
        for tab in self._tabs:
            current = tab.mode == self._current
            parts.append((f" {tab.key} {tab.title} ", "bold reverse" if current else "$quiet"))
            parts.append((" ", ""))
        left = display.line(*parts)
        right = display.line(("? help  ^p palette  q detach", "$quiet"))
        gap = self.size.width - left.cell_length - right.cell_length
        self.show_lines([display.joined([left, display.line(" " * max(gap, 1)), right])])

    def on_click(self, event: events.Click) -> None:
        """Switch to the screen under the mouse."""
        start = 0
        for tab in self._tabs:
            width = len(f" {tab.key} {tab.title} ")
            if start <= event.x < start + width:
                self.post_message(self.Chosen(tab.mode))
            start += width + 1
