"""The second line of every screen: the available screens by their number keys. A click also switches."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.message import Message

from reflectevo_tui.text import display
from reflectevo_tui.widgets.line_panel import LinePanel


@dataclass(frozen=True, slots=True)
class ScreenTab:
    """A screen in the tab bar: its key, mode, title, and a shorter title for small terminals."""

    key: str
    mode: str
    title: str
    short: str


class ScreenTabs(LinePanel):
    """The tab bar, with the current screen highlighted."""

    class Chosen(Message):
        """Posted when the operator clicks a screen."""

        def __init__(self, mode: str) -> None:
            super().__init__()
            self.mode = mode

    def __init__(self, tabs: tuple[ScreenTab, ...], current: str, prefix: str = "") -> None:
        super().__init__(id="tabs")
        self._tabs = tabs
        self._current = current
        self._prefix = prefix
        self._labels: tuple[str, ...] = ()

    def on_mount(self) -> None:
        """Draw the bar."""
        self._draw()

    def on_resize(self) -> None:
        """Keep the help hint at the right edge."""
        super().on_resize()
        self._draw()

    def _fitting(self) -> tuple[tuple[str, ...], str]:
        """Return the longest labels and hint that fit the width."""
        long = tuple(f" {self._prefix}{tab.key} {tab.title} " for tab in self._tabs)
        short = tuple(f"{self._prefix}{tab.key} {tab.short}" for tab in self._tabs)
        tight = tuple(
            f"{self._prefix}{tab.key} {tab.short if tab.mode == self._current else tab.short[:3]}" for tab in self._tabs
        )
        for labels in (long, short, tight):
            room = self.size.width - sum(len(label) for label in labels) - len(labels)
            for hint in ("? help  ^p palette  q detach", "? help"):
                if room >= len(hint):
                    return labels, hint
        return tight, ""

    def _draw(self) -> None:
        self._labels, hint = self._fitting()
        parts: list[tuple[str, str]] = []
        for tab, label in zip(self._tabs, self._labels, strict=True):
            parts += [(label, "bold reverse" if tab.mode == self._current else "$quiet"), (" ", "")]
        left, right = display.line(*parts), display.line((hint, "$quiet"))
        gap = self.size.width - left.cell_length - right.cell_length
        self.show_lines([display.joined([left, display.line(" " * max(gap, 0)), right])])

    def on_click(self, event: events.Click) -> None:
        """Switch to the clicked screen."""
        start = 0
        for tab, label in zip(self._tabs, self._labels, strict=True):
            if start <= event.x < start + len(label):
                self.post_message(self.Chosen(tab.mode))
            start += len(label) + 1
