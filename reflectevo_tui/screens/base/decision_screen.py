"""Base class of the screens that record decisions: each is written immediately, or kept and retried after a failure."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

from textual import on, work

from reflectevo_tui.screens.base.framed_screen import FramedScreen
from reflectevo_tui.state.decision_writer import DecisionWriter
from reflectevo_tui.state.messages import DecisionsWritten
from reflectevo_tui.text import display
from store.workspace import Workspace

RETRY_SECONDS = 5.0
"""Delay, in seconds, before a failed write is retried automatically."""


class DecidingScreen(FramedScreen):
    """Subclasses define `save`, which appends one decision in its own transaction, and display `unsaved_words`."""

    save: Callable[[sqlite3.Connection, Any], object]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._writer: DecisionWriter[Any] = DecisionWriter(workspace, type(self).save)
        self._failure, self._failed_at = "", 0.0

    @property
    def unsaved_words(self) -> str:
        """Message about unsaved decisions and the reason; empty if everything is saved."""
        if not self._failure or not self._writer.unsaved:
            return ""
        return f"{self._writer.unsaved} not saved · w retries · {display.one_line(self._failure)}"

    def show_status(self) -> None:
        """Show the progress and any unsaved decisions."""
        raise NotImplementedError

    def commit(self, decision: object) -> None:
        """Write a decision in the background."""
        self._writer.add(decision)
        self.show_status()
        self._flush()

    @work(thread=True, group="flush")
    def _flush(self) -> None:
        self.post_message(DecisionsWritten(self._writer.flush()))

    @on(DecisionsWritten)
    def _written(self, message: DecisionsWritten) -> None:
        if message.failure and not self._failure:
            self.app.bell()
        self._failure, self._failed_at = message.failure, time.monotonic()
        self.show_status()

    def action_write(self) -> None:
        """Retry writing unsaved decisions."""
        self._flush()

    def tick(self) -> None:
        """Retry writing unsaved decisions periodically."""
        super().tick()
        if self._failure and self._writer.unsaved and time.monotonic() - self._failed_at >= RETRY_SECONDS:
            self._failed_at = time.monotonic()
            self._flush()

    def on_unmount(self) -> None:
        """Make a last attempt to write unsaved decisions."""
        self._writer.flush()
