"""Copies a text into the clipboard of the operator's terminal (OSC 52), by their own key only.

What is copied is what the screen shows: control characters as visible glyphs, so that pasting can't run anything.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display, formatting
from store.records import TrajectoryDetail

MOST_CHARACTERS = 100_000
"""Terminals refuse longer ones; tmux cuts them."""


def texts_of(detail: TrajectoryDetail) -> dict[str, tuple[str, str]]:
    """The texts of a trajectory: title and text by the key that copies it."""
    found = {"q": ("question", detail.question.text), "a": ("attempt 1", detail.attempt.reasoning)}
    if detail.reflection is not None:
        found["r"] = ("reflection", detail.reflection.text)
    if detail.correction is not None:
        found["c"] = ("correction", detail.correction.reasoning)
    return found


class CopyDialog(Dialog[None]):
    """Asks which text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"copy('{key}')", f"copy {key}") for key in "qarc"),
        Binding("escape,y", "close", "cancel"),
    ]

    def __init__(self, texts: dict[str, tuple[str, str]]) -> None:
        super().__init__()
        self._texts = texts

    def compose(self) -> ComposeResult:
        """One line a text."""
        lines = [
            display.line(
                (f" {key} ", "bold $accent"), f" {title:<12}", (f"{formatting.count(len(text))} characters", "$quiet")
            )
            for key, (title, text) in self._texts.items()
        ]
        with Vertical(classes="dialog"):
            yield Static(display.stacked([display.line(("Copy to the clipboard", "bold")), *lines]), markup=False)
            yield Static(display.line(("esc", "bold $accent"), " cancel"), classes="dialog-keys", markup=False)

    def action_copy(self, key: str) -> None:
        """Copy a text and close."""
        if key in self._texts:
            title, text = self._texts[key]
            self.app.copy_to_clipboard(display.visible(text[:MOST_CHARACTERS]))
            cut = " (only its start: it is very long)" if len(text) > MOST_CHARACTERS else ""
            self.notify(f"The {title} was sent to your terminal's clipboard{cut}.", markup=False)
            self.dismiss(None)

    def action_close(self) -> None:
        """Nothing."""
        self.dismiss(None)
