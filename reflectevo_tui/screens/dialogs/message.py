"""Dialog that shows a text to read, such as all errors that prevent a start, each with its remedy."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display


class MessageDialog(Dialog[None]):
    """A title and a scrollable text. Any of its closing keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "close", "close")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """Compose title, text and key."""
        with Vertical(classes="dialog dialog-large"):
            yield Static(display.line((self._title, "bold $error")), markup=False)
            with VerticalScroll(id="message-body", classes="gap-above"):
                yield Static(display.text(self._text), markup=False)
            yield Static(display.line(("esc", "bold $accent"), " close"), classes="dialog-keys", markup=False)

    def on_mount(self) -> None:
        """Focus the text, so that the arrow keys scroll it."""
        self.query_one("#message-body").focus()

    def action_close(self) -> None:
        """Close the dialog."""
        self.dismiss(None)
