"""Base class of the screens that show one iteration: the current one, until the operator selects another."""

from __future__ import annotations

import time

from textual.binding import Binding

from reflectevo_tui.screens.base.framed_screen import FramedScreen
from reflectevo_tui.state.snapshot import Snapshot
from store.records import IterationName
from store.workspace import Workspace

ITERATION_KEYS = (
    Binding("comma", "iteration(-1)", "iteration", key_display=", ."),
    Binding("full_stop", "iteration(1)", "later iteration", show=False),
)
"""Key bindings of every screen that shows one iteration."""

RENEW_SECONDS = 5.0
"""Interval, in seconds, at which the displayed data is reloaded while the store changes."""


class IterationScreen(FramedScreen):
    """Calls `read_iteration` when another iteration is selected or the current one has new rows."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._names: tuple[IterationName, ...] = ()
        self._chosen: int | None = None
        self._shown: int | None = None
        self._stale = False
        self._read_at = 0.0

    @property
    def iteration(self) -> IterationName | None:
        """The selected iteration."""
        return next((name for name in self._names if name.id == self._shown), None)

    @property
    def iteration_words(self) -> str:
        """Label of the iteration, such as `iteration 3 of llama3-logiqa`."""
        found = self.iteration
        return f"iteration {found.number} of {found.run}" if found else "no iteration"

    def read_iteration(self) -> None:
        """Start reading the data shown for `iteration`; None means that there is no iteration yet."""
        raise NotImplementedError

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Follow the current iteration, and record that the store has changed."""
        super().show_snapshot(snapshot)
        self._names = snapshot.iterations
        current = self._names[-1].id if self._names else None
        if snapshot.iteration is not None and any(name.id == snapshot.iteration.id for name in self._names):
            # An iteration that only evaluates a policy has no data for these screens.
            current = snapshot.iteration.id
        self._look_at(self._chosen if self._chosen is not None else current)
        self._stale = True

    def _look_at(self, iteration_id: int | None) -> None:
        if iteration_id != self._shown or not self._read_at:
            self._shown = iteration_id
            self._renew()

    def _renew(self) -> None:
        self._stale, self._read_at = False, time.monotonic()
        self.read_iteration()

    def tick(self) -> None:
        """Reload the data if the store has changed, at a limited rate."""
        super().tick()
        if self._stale and time.monotonic() - self._read_at >= RENEW_SECONDS:
            self._renew()

    def action_iteration(self, by: int) -> None:
        """Select an earlier or a later iteration."""
        ids = [name.id for name in self._names]
        if self._shown not in ids:
            return
        place = ids.index(self._shown) + by
        if 0 <= place < len(ids):
            self._chosen = ids[place] if place < len(ids) - 1 else None
            self._look_at(ids[place])
        else:
            self.notify("There is no other iteration in that direction.", markup=False)
