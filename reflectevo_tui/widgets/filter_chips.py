"""The active filters of the trajectory list, as chips with the row counts; clicking a chip removes its filter."""

from __future__ import annotations

from collections.abc import Mapping

from textual import events
from textual.message import Message

from reflectevo_tui.text import display, formatting
from reflectevo_tui.widgets.line_panel import LinePanel


class FilterChips(LinePanel):
    """Total → matching rows, then one chip per filter."""

    class Removed(Message):
        """Posted when the operator removes a chip by clicking it."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self) -> None:
        super().__init__(id="chips")
        self._places: list[tuple[str, int, int]] = []

    def show_filter(self, total: int | None, found: int | None, chips: Mapping[str, str]) -> None:
        """Show the chips.

        Args:
            total: Number of trajectories; None while they are being counted.
            found: Number of trajectories that match the filter; None while they are being counted.
            chips: Label of each filter, by its name.
        """
        parts: list[tuple[str, str]] = [(" ", "")]
        counted = "…" if total is None else formatting.count(total)
        parts.append((counted, "$quiet" if chips else "bold"))
        if chips:
            parts += [(" → ", "$quiet"), ("…" if found is None else formatting.count(found), "bold")]
        else:
            parts.append((" trajectories", "$quiet"))
        self._places = []
        column = sum(len(text) for text, _ in parts)
        for name, label in chips.items():
            chip = display.visible(f"[{label} ✕]").replace("\n", " ")
            parts += [("  ", ""), (chip, "bold $accent")]
            self._places.append((name, column + 2, column + 2 + len(chip)))
            column += 2 + len(chip)
        self.show_lines([display.line(*parts)])

    def on_click(self, event: events.Click) -> None:
        """Remove the clicked chip."""
        for name, start, end in self._places:
            if start <= event.x < end:
                self.post_message(self.Removed(name))
