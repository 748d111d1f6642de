"""Dialog that copies a text to the clipboard of the operator's terminal (OSC 52); only ever opened by a key press.

The copied text is the displayed one: control characters are visible glyphs, so that pasting cannot execute anything.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display, formatting
from store.rollouts.trajectory_detail import TrajectoryDetail

MOST_CHARACTERS = 100_000
"""Maximum number of characters: terminals refuse longer texts, and tmux truncates them."""


def texts_of(detail: TrajectoryDetail) -> dict[str, tuple[str, str]]:
    """Return title and text of each text of a trajectory, by the key that copies it."""
    found = {"q": ("question", detail.question.text), "a": ("attempt 1", detail.attempt.reasoning)}
    if detail.reflection is not None:
        found["r"] = ("reflection", detail.reflection.text)
    if detail.correction is not None:
        found["c"] = ("correction", detail.correction.reasoning)
    return found


class CopyDialog(Dialog[None]):
    """Lists the texts that can be copied."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"copy('{key}')", f"copy {key}") for key in "qarc"),
        Binding("escape,y", "close", "cancel"),
    ]

    def __init__(self, texts: dict[str, tuple[str, str]]) -> None:
        super().__init__()
        self._texts = texts

    def compose(self) -> ComposeResult:
        """Compose one line per text."""
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
        """Close without copying."""
        self.dismiss(None)
