"""The texts being generated: the growing end of the newest ones."""

from __future__ import annotations

from textual.content import Content

from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.text import display, formatting
from reflectevo_tui.widgets.line_panel import LinePanel
from store.records import LiveText


def heading(text: LiveText) -> Content:
    """Format question, task, instruction and role of a text."""
    parts = [f"q {formatting.count(text.question_id)}"] if text.question_id is not None else []
    parts += [part for part in (text.task, text.instruction, text.role) if part]
    return display.line((" · ".join(parts), "bold $primary"))


class LiveTextPane(LinePanel):
    """As many of the growing texts as fit, each with a heading."""

    ROWS_OF_ONE = 4
    """Minimum number of rows of a text, including its heading."""

    def __init__(self) -> None:
        super().__init__("Now", id="now", classes="panel")
        self._snapshot: Snapshot | None = None

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot."""
        self._snapshot = snapshot
        width, height = self.size
        texts = snapshot.live if snapshot.engine.state != "stopped" else ()
        shown = texts[: max(height // self.ROWS_OF_ONE, 1)]
        if not shown:
            self.show_lines([display.line(("nothing is being generated", "$quiet"))])
            return
        each, lines = max(height // len(shown), 2), []
        for text in shown:
            tail = display.wrapped_tail(text.text, width - 1, each - 1)
            lines.append(heading(text))
            lines.extend(tail)
            lines.extend(display.line("") for _ in range(each - 1 - len(tail)))
        self.show_lines(lines)

    def on_resize(self) -> None:
        """Wrap the texts to the new width."""
        super().on_resize()
        if self._snapshot is not None:
            self.show_snapshot(self._snapshot)
