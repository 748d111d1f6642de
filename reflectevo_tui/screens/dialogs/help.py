"""The keys of the current screen, and what goes everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display
from reflectevo_tui.widgets.key_hints import key_name

GROUP_WIDTH = 14


def key_lines(title: str, bindings: Iterable[Binding]) -> list[Content]:
    """A group of keys, one a line."""
    lines = [display.line((title, "bold $primary"))]
    for binding in bindings:
        keys = [key_name(Binding(key, "", "")) for key in binding.key.split(",")]
        lines.append(display.line((f"  {'  '.join(keys):<{GROUP_WIDTH}}", "bold $accent"), f" {binding.description}"))
    return [*lines, display.line()]


class HelpDialog(Dialog[None]):
    """Lists keys by group; any of its own keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "close", "close")]

    def __init__(self, groups: list[tuple[str, list[Binding]]]) -> None:
        super().__init__()
        self._groups = groups

    def compose(self) -> ComposeResult:
        """One list."""
        lines = [one for title, bindings in self._groups for one in key_lines(title, bindings)]
        with Vertical(classes="dialog dialog-large"):
            with VerticalScroll(id="help-body"):
                yield Static(display.stacked(lines[:-1]), markup=False)
            yield Static(display.line(("esc", "bold $accent"), " close"), classes="dialog-keys", markup=False)

    def on_mount(self) -> None:
        """Arrows scroll."""
        self.query_one("#help-body").focus()

    def action_close(self) -> None:
        """Close."""
        self.dismiss(None)
