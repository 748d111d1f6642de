"""Dialog for one line of text: a note, a sample size, the name of a filter, a position in a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display


class LineDialog(Dialog[str | None]):
    """Closes with the text, or with None for no change."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "cancel")]

    def __init__(
        self, question: str, value: str = "", hint: str = "", check: Callable[[str], str] | None = None
    ) -> None:
        """`check` returns the error in a text, or an empty string; the dialog stays open while there is one."""
        super().__init__()
        self._question = question
        self._value = value
        self._hint = hint
        self._check = check

    def compose(self) -> ComposeResult:
        """Compose question, input and keys."""
        with Vertical(classes="dialog dialog-line"):
            yield Static(display.text(self._question, "bold"), markup=False)
            yield Input(display.one_line(self._value), placeholder=self._hint, compact=True)
            yield Static(id="line-wrong", markup=False)
            yield Static(
                display.line(("⏎", "bold $accent"), " OK   ", ("esc", "bold $accent"), " cancel"),
                classes="dialog-keys",
                markup=False,
            )

    def on_mount(self) -> None:
        """Focus the input."""
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _taken(self, event: Input.Submitted) -> None:
        event.stop()
        wrong = self._check(event.value.strip()) if self._check else ""
        if not wrong:
            self.dismiss(event.value.strip())
            return
        self.query_one("#line-wrong", Static).update(display.line((wrong, "$error")))

    def action_leave(self) -> None:
        """Close without a change."""
        self.dismiss(None)
