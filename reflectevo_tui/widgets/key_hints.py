"""The last line of a screen: its most useful keys, taken from the screen's bindings."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding

from reflectevo_tui.text import display
from reflectevo_tui.widgets.line_panel import LinePanel

_KEY_NAMES = {
    "escape": "esc",
    "slash": "/",
    "question_mark": "?",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "enter": "⏎",
    "space": "␣",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "up": "↑",
    "down": "↓",
}


def key_name(binding: Binding) -> str:
    """Return the display name of a binding's first key."""
    if binding.key_display:
        return binding.key_display
    key = binding.key.split(",")[0]
    return _KEY_NAMES.get(key, key.replace("ctrl+", "^"))


class KeyHints(LinePanel):
    """Key and label of each binding with `show` set."""

    def __init__(self) -> None:
        super().__init__(id="hints")

    def show_bindings(self, bindings: Iterable[Binding]) -> None:
        """Show the keys; the remaining ones are listed in the help (`?`)."""
        parts: list[tuple[str, str]] = [(" ", "")]
        for binding in bindings:
            if binding.show:
                parts += [(key_name(binding), "bold $accent"), (f" {binding.description}  ", "$quiet")]
        self.show_lines([display.line(*parts)])
