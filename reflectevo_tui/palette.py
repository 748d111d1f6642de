"""What the command palette offers: the screens, and the operator's words to the engine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SystemCommand

from reflectevo_tui.app.theme import THEMES
from reflectevo_tui.screens.base.framed import SCREENS

if TYPE_CHECKING:
    from reflectevo_tui.app import ReflectEvoApp

ITERATION_COMMANDS = (
    ("pause", "Pause the iteration", "Takes effect within seconds; nothing is lost"),
    ("resume", "Resume the iteration", "Goes on where it paused or stopped"),
    ("save_now", "Save now", "A training checkpoint at the next step"),
    ("retry_failed", "Retry what failed", "Failed samples and a failed stage are done again"),
)
"""Directive, title and what it does, for the current iteration."""


def palette_commands(app: ReflectEvoApp) -> Iterator[SystemCommand]:
    """The commands that make sense now."""
    yield SystemCommand("Start the engine", "Does nothing when it runs already", app.start_engine)
    iteration = app.snapshot.iteration if app.snapshot else None
    if iteration is not None:
        for kind, title, words in ITERATION_COMMANDS:
            yield SystemCommand(title, words, partial(app.directive, kind, iteration.id))
    yield SystemCommand("Shut the engine down", "After a question; work in hand is kept", app.ask_shut_down)
    for tab in SCREENS:
        yield SystemCommand(tab.title, f"Open this screen (key {tab.key})", partial(app.action_open_screen, tab.mode))
    yield SystemCommand("Go to a row", "Any place of the list of Trajectories (there: key :)", app.go_to_row)
    for theme in THEMES:
        words = {"reflectevo": "dark", "reflectevo-light": "light", "reflectevo-contrast": "high contrast"}[theme.name]
        yield SystemCommand(f"Theme: {words}", "Kept for this user", partial(app.choose, theme=theme.name))
    ring = not app.choices.bell
    yield SystemCommand(
        f"Bell: {'on' if ring else 'off'}", "When a gate waits or a stage fails", partial(app.choose, bell=ring)
    )
    yield SystemCommand("Save a picture", "This screen as SVG in the workspace (ctrl+o)", app.action_picture)
    yield SystemCommand("Keys", "The keys of this screen", app.action_keys)
    yield SystemCommand("Detach", "Leave; the engine goes on", app.action_detach)
