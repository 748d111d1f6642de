"""Confirmation dialog shown before an action that interrupts work."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display


class ConfirmDialog(Dialog[bool]):
    """A yes-or-no question; `y` confirms, `n` and escape cancel."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "cancel"),
    ]

    def __init__(self, question: str, verb: str) -> None:
        super().__init__()
        self._question = question
        self._verb = verb

    def compose(self) -> ComposeResult:
        """Compose the question and its keys."""
        with Vertical(classes="dialog"):
            yield Static(display.text(self._question), markup=False)
            yield Static(
                display.line(("y", "bold $accent"), f" {self._verb}   ", ("n/esc", "bold $accent"), " cancel"),
                classes="dialog-keys",
                markup=False,
            )

    def action_answer(self, yes: bool) -> None:
        """Close with the answer."""
        self.dismiss(yes)
