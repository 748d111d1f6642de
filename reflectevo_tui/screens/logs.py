"""Logs screen: log files of the engine and its child processes, followed live; a search covers the complete file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from reflectevo_tui.screens.base.framed_screen import FramedScreen
from reflectevo_tui.state.log_reader import TAIL_BYTES, LogText, log_files, search, size_of, tail
from reflectevo_tui.state.messages import WorkFailed
from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.widgets.line_panel import LinePanel
from reflectevo_tui.widgets.log_view import LogView
from store.workspace import Workspace

SEARCH_SECONDS = 5.0
"""Interval, in seconds, at which a search is repeated while the log grows."""


class LogsScreen(FramedScreen):
    """Shows one log at a time; only its tail is kept in memory, a search reads the complete file."""

    mode: ClassVar[str] = "logs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,l", "file(1)", "next log"),
        Binding("shift+tab,h", "file(-1)", "previous log", show=False),
        Binding("slash", "search", "search"),
        Binding("x", "unsearch", "all lines"),
        Binding("e", "error", "earlier error"),
        Binding("G", "follow", "follow the end"),
        Binding("escape", "leave_search", "leave the search", show=False),
    ]

    class LogRead(Message):
        """Posted when a log was read."""

        def __init__(self, text: LogText) -> None:
            super().__init__()
            self.text = text

        def can_replace(self, message: Message) -> bool:
            """Return whether this message replaces `message`: only the newest state of a log matters."""
            return isinstance(message, LogsScreen.LogRead)

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._files: list[Path] = []
        self._file: Path | None = None
        self._words = ""
        self._read: tuple[Path | None, str, int] = (None, "", -1)
        self._searched_at = 0.0

    def compose_body(self) -> ComposeResult:
        """Compose file list, search line and log."""
        yield LinePanel(id="log-files")
        yield Input(
            id="log-search", placeholder="text to find; enter searches the whole log, escape closes", compact=True
        )
        yield LogView()

    def on_mount(self) -> None:
        """Focus the log."""
        super().on_mount()
        self.query_one(LogView).focus()
        self.tick()

    def on_screen_resume(self) -> None:
        """Refresh the log when the screen becomes active again."""
        super().on_screen_resume()
        self.tick()

    def tick(self) -> None:
        """Read newly written lines; for an unchanged file only its size is checked."""
        super().tick()
        self._files = log_files(self.workspace.logs)
        if self._file not in self._files:
            self._file = self._files[0] if self._files else None
        self._show_files()
        if self._file is None:
            empty = "No log yet. Press 1, then e, to start the engine, which writes one."
            self.query_one(LogView).show_text(display.line("Log"), (), empty)
            return
        wanted = (self._file, self._words, size_of(self._file))
        if wanted == self._read:
            return
        if self._words and wanted[:2] == self._read[:2] and time.monotonic() - self._searched_at < SEARCH_SECONDS:
            return
        self._read, self._searched_at = wanted, time.monotonic()
        self._read_log(self._file, self._words)

    @work(thread=True, exclusive=True, group="log")
    def _read_log(self, path: Path, words: str) -> None:
        try:
            self.post_message(self.LogRead(search(path, words) if words else tail(path)))
        except OSError as error:
            self.post_message(WorkFailed(f"{path.name} can't be read: {error.strerror}"))

    @on(LogRead)
    def _arrived(self, message: LogRead) -> None:
        text = message.text
        if text.path != self._file or text.search != self._words:
            return
        parts: list[Part] = [(text.path.name, "bold"), f" · {formatting.count(len(text.lines))} lines"]
        if text.search:
            parts.append(f' with "{text.search}"')
        if text.cut:
            held = "the newest of those found" if text.search else f"the last {TAIL_BYTES // 1024} KiB"
            parts.append((f" · {held} of {formatting.count(text.size)} bytes", "$quiet"))
        empty = "Nothing in this log holds these words. x shows all lines." if text.search else "This log is empty."
        self.query_one(LogView).show_text(display.line(*parts), text.lines, empty)

    def _show_files(self) -> None:
        parts: list[Part] = [" "]
        for path in self._files:
            parts += [(f" {path.stem} ", "bold reverse" if path == self._file else "$quiet"), " "]
        if self._words:
            parts += [("  ", ""), (f'["{self._words}" ✕]', "bold $accent")]
        self.query_one("#log-files", LinePanel).show_lines([display.line(*parts)])

    def action_file(self, by: int) -> None:
        """Show another log."""
        if self._file in self._files:
            self._file = self._files[(self._files.index(self._file) + by) % len(self._files)]
            self.query_one(LogView).following = True
            self.tick()

    def action_search(self) -> None:
        """Open the search line."""
        field = self.query_one("#log-search", Input)
        field.display = True
        field.value = self._words
        field.focus()

    @on(Input.Submitted, "#log-search")
    def _search(self, message: Input.Submitted) -> None:
        self._words = message.value.strip()
        self.action_leave_search()
        self.query_one(LogView).following = True
        self.tick()

    def action_unsearch(self) -> None:
        """Clear the search and show all lines."""
        self._words = ""
        self.tick()

    def action_leave_search(self) -> None:
        """Return the focus to the log."""
        self.query_one("#log-search", Input).display = False
        self.query_one(LogView).focus()

    def action_error(self) -> None:
        """Scroll to the previous error or warning."""
        self.query_one(LogView).action_error(1)

    def action_follow(self) -> None:
        """Scroll to the end and follow it."""
        self.query_one(LogView).action_follow()
