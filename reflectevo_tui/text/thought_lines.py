"""Formats the thought before a reply: one line while it is folded, its text below it otherwise."""

from __future__ import annotations

from textual.content import Content

from reflectevo_tui.text import display, formatting
from store.rollouts.thoughts import Thought

KEY = "T"
"""The key that folds and unfolds thoughts."""

_ROWS = 400
"""Maximum number of rows of an unfolded thought."""


def thought_lines(thought: Thought | None, unfolded: bool) -> list[Content]:
    """Return the lines of a thought; none without one."""
    if thought is None:
        return []
    mark, does = ("▾", "folds it") if unfolded else ("▸", "shows it")
    lines = [
        display.line(
            (f"{mark} thought, {formatting.count(thought.tokens)} tokens   ", "$quiet"),
            (KEY, "bold $accent"),
            (f" {does}", "$quiet"),
        )
    ]
    return [*lines, display.portion(thought.text.strip(), 0, _ROWS).content] if unfolded else lines
