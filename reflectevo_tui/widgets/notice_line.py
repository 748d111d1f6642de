"""A persistent notice above the key hints: directives that were not applied yet, and the reason."""

from __future__ import annotations

import time

from textual.content import Content

from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.text import display
from reflectevo_tui.widgets.line_panel import LinePanel
from store.control.directives import COMMANDS

PATIENCE_SECONDS = 3.0
"""Delay, in seconds, before a missing response is reported; a running engine responds within a second."""


def notice(snapshot: Snapshot) -> Content | None:
    """Return the notice about directives without an outcome; None if there are none to report."""
    waiting = snapshot.unanswered
    if not waiting:
        return None
    oldest = waiting[0]
    more = f" (and {len(waiting) - 1} more)" if len(waiting) > 1 else ""
    clock = time.strftime("%H:%M:%S", time.localtime(oldest.created))
    sent = f"{COMMANDS.get(oldest.kind, oldest.kind)}{more} sent {clock}"
    if snapshot.engine.state == "stopped":
        return display.line(
            (" ! ", "bold reverse $warning"),
            (f" {sent}, not applied yet: the engine is stopped. Press ", ""),
            ("e", "bold $accent"),
            (" to start it.", ""),
        )
    if snapshot.taken - oldest.created < PATIENCE_SECONDS:
        return None
    return display.line(
        (" ! ", "bold reverse $warning"), (f" {sent}, not applied yet: the engine hasn't answered.", "")
    )


class NoticeLine(LinePanel):
    """Occupies a row only while there is a notice."""

    def __init__(self) -> None:
        super().__init__(id="notice")

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show or clear the notice."""
        said = notice(snapshot)
        self.display = said is not None
        self.show_lines([said] if said is not None else [])
