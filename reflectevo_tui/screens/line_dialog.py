"""Asks for one line of text: a note, a sample size, the name of a filter."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from reflectevo_tui import display


class LineDialog(ModalScreen[str | None]):
    """Closes with the text, or None for no change."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "no change")]

    def __init__(self, question: str, value: str = "", hint: str = "") -> None:
        super().__init__()
        self._question = question
        self._value = value
        self._hint = hint

    def compose(self) -> ComposeResult:
        """Question, field, keys."""
        with Vertical(classes="dialog dialog-line"):
            yield Static(display.text(self._question, "bold"), markup=False)
            yield Input(display.one_line(self._value), placeholder=self._hint, compact=True)
            yield Static(
                display.line(("⏎", "bold $accent"), " take it   ", ("esc", "bold $accent"), " no change"),
                classes="dialog-keys",
                markup=False,
            )

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _taken(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        """No change."""
        self.dismiss(None)
