"""Base of the screens on which an operator decides: every decision is written at once, or kept and tried again."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

from textual import on, work

from reflectevo_tui.screens.base.framed import FramedScreen
from reflectevo_tui.state.decision_writer import DecisionWriter
from reflectevo_tui.state.messages import DecisionsWritten
from reflectevo_tui.text import display
from store.workspace import Workspace

RETRY_SECONDS = 5.0
"""How long after a failure what was not written is tried again, unless the operator does it first."""


class DecidingScreen(FramedScreen):
    """A screen names `save`, which appends one decision in a transaction of its own, and shows `unsaved_words`."""

    save: Callable[[sqlite3.Connection, Any], object]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._writer: DecisionWriter[Any] = DecisionWriter(workspace, type(self).save)
        self._failure, self._failed_at = "", 0.0

    @property
    def unsaved_words(self) -> str:
        """What is not written, and why; nothing when all is."""
        if not self._failure or not self._writer.unsaved:
            return ""
        return f"{self._writer.unsaved} not saved · w retries · {display.one_line(self._failure)}"

    def show_status(self) -> None:
        """Show how far the operator is, and what is not written."""
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
        """Try again to write what could not be written."""
        self._flush()

    def tick(self) -> None:
        """Try again, now and then, to write what could not be written."""
        super().tick()
        if self._failure and self._writer.unsaved and time.monotonic() - self._failed_at >= RETRY_SECONDS:
            self._failed_at = time.monotonic()
            self._flush()

    def on_unmount(self) -> None:
        """A last try for what could not be written."""
        self._writer.flush()
