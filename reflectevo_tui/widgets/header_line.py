"""The first line of every screen: run, iteration and progress, parent and child policy, engine state."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

from textual.content import Content

from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.text import display, formatting
from reflectevo_tui.widgets.line_panel import LinePanel
from store.control.liveness import EngineActivity
from store.records import Control, IterationState

_ENGINE: Mapping[EngineActivity, tuple[str, str]] = {
    "running": ("●", "$success"),
    "stale": ("◌", "$warning"),
    "stopped": ("○", "$error"),
}
_ITERATION: Mapping[IterationState, tuple[str, str]] = {
    "running": ("●", "$success"),
    "waiting": ("◆", "$warning"),
    "paused": ("‖", "$warning"),
    "stopped": ("■", "$warning"),
    "failed": ("✗", "$error"),
    "done": ("✓", "$success"),
}

_WISHES: Mapping[Control, str] = {"pause": "pausing", "stop": "stopping"}


def state_words(snapshot: Snapshot, now: float) -> tuple[str, str, str]:
    """Return glyph, label and style of the current state: problems of the engine first, then the iteration's state."""
    engine = snapshot.engine.state
    if engine == "stopped":
        return (*_ENGINE[engine][:1], "engine stopped", _ENGINE[engine][1])
    if engine == "stale":
        heartbeat = snapshot.heartbeats.get("engine")
        silent = f" {formatting.duration(now - heartbeat.beat)}" if heartbeat else ""
        return _ENGINE[engine][0], f"engine silent{silent}", _ENGINE[engine][1]
    if snapshot.iteration is None:
        busy = snapshot.run is not None and snapshot.run.state == "new"
        return "●", "preparing" if busy else "idle", "$success"
    glyph, style = _ITERATION[snapshot.iteration.state]
    state = snapshot.iteration.state
    return glyph, _WISHES.get(snapshot.iteration.control, state) if state == "running" else state, style


def elapsed(snapshot: Snapshot, now: float) -> str:
    """Return the time since the iteration began; empty while it is idle, so that an idle screen is not repainted."""
    iteration = snapshot.iteration
    if iteration is None:
        return ""
    if iteration.ended is not None:
        return formatting.clock(iteration.ended - iteration.created)
    if iteration.state != "running" or snapshot.engine.state == "stopped":
        return ""
    return formatting.clock(now - iteration.created)


class HeaderLine(LinePanel):
    """Run, iteration, policies, state, elapsed time and host in one line."""

    def __init__(self) -> None:
        super().__init__(id="header")
        self._host = socket.gethostname().split(".")[0]
        self._snapshot: Snapshot | None = None

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot."""
        self._snapshot = snapshot
        self.tick()

    def tick(self) -> None:
        """Update what depends only on the clock; an unchanged line is not repainted."""
        if self._snapshot is not None:
            self.show_lines([self._compose_line(self._snapshot, time.time())])

    def on_resize(self) -> None:
        """Align the right part with the right edge."""
        super().on_resize()
        self.tick()

    def _compose_line(self, snapshot: Snapshot, now: float) -> Content:
        glyph, words, style = state_words(snapshot, now)
        left = display.line(("reflectevo", "bold $primary"), *self._what(snapshot))
        right = display.line(
            (f"{glyph} {words}", f"bold {style}"),
            "  ",
            (elapsed(snapshot, now), "bold"),
            "  " if self.size.width >= 100 else "",
            (self._host[:20] if self.size.width >= 100 else "", "$quiet"),
        )
        room = self.size.width - right.cell_length - 1
        return display.joined([left.truncate(max(room, 0), ellipsis=True, pad=True), display.line(" "), right])

    def _what(self, snapshot: Snapshot) -> list[str | tuple[str, str]]:
        if snapshot.run is None:
            return [("  no run yet", "$quiet")]
        parts: list[str | tuple[str, str]] = [("  run ", "$quiet"), (snapshot.run.name, "bold")]
        if snapshot.iteration is not None:
            what = snapshot.iteration.title.partition(" ")[0]
            parts += [(f" · {what} ", "$quiet"), (str(snapshot.iteration.number), "bold")]
        if snapshot.parent is not None:
            child = snapshot.child.name if snapshot.child else "…"
            parts += [(" · policy ", "$quiet"), (f"{snapshot.parent.name} → {child}", "")]
        return parts
