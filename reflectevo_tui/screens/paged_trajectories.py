"""The paged list of Trajectories: loads the visible pages, counts rows, follows new rows and locates positions.

Responses for an earlier filter are discarded by their request number. Does not depend on the fields of filters or rows.
"""

from __future__ import annotations

from bisect import bisect_left

from textual import on, work

from reflectevo_tui.screens.base.framed_screen import FramedScreen
from reflectevo_tui.screens.dialogs.text_input import LineDialog
from reflectevo_tui.state.list_position import HINT, NoSuchPlace, Place, read_place
from reflectevo_tui.state.messages import AnchorsRead, PageRead, WorkFailed
from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.state.trajectory_reader import GROWTH_SECONDS, PAGE_ROWS, Interrupted, TrajectoryReader
from reflectevo_tui.terminal.throttle import Throttle
from reflectevo_tui.widgets.trajectory_list import TrajectoryList
from store.errors import OperatorError
from store.rollouts.trajectories import Anchors, TrajectoryFilter
from store.workspace import Workspace


class PagedTrajectories(FramedScreen):
    """Base class of the screen. Subclasses show chips, column titles, and why a list is empty."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.reader = TrajectoryReader(workspace)
        self._filter = TrajectoryFilter()
        self._order: list[str] = []
        self._list_number = self._newest = 0
        self._anchors: Anchors | None = None
        self._all: int | None = None
        self._walking = False
        self._growth = Throttle(GROWTH_SECONDS)
        self._target: int | None = None
        self._corrected: frozenset[int] | None = None
        """Iterations whose corrections are complete, and whose lifts are stored; None before the first snapshot."""

    def show_chips(self) -> None:
        """Show the active filters and the row counts."""
        raise NotImplementedError

    def show_columns(self) -> None:
        """Show the titles of the columns."""
        raise NotImplementedError

    def show_empty(self) -> None:
        """Explain why the list is empty."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Read the first page."""
        super().on_mount()
        self.query_one(TrajectoryList).focus()
        self._restart()

    def on_unmount(self) -> None:
        """Close the database connections."""
        self.reader.close()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Update the list with appended rows."""
        super().show_snapshot(snapshot)
        self._newest = snapshot.newest[0].id if snapshot.newest else 0
        corrected = frozenset(
            one.iteration_id for one in snapshot.stages if one.name == "correct" and one.state == "done"
        )
        if self._corrected is not None and corrected - self._corrected:
            self._show_new_lifts()
        self._corrected = corrected

    def tick(self) -> None:
        """Count appended rows, at most every few seconds."""
        super().tick()
        behind = self._anchors is not None and self._newest > self._anchors.last
        if behind and not self._walking and self._growth.due():
            self._walk(self._list_number, self._filter, self._anchors)

    def _show_new_lifts(self) -> None:
        """Show lifts that were stored after the list was read."""
        if self._filter.order is not None or self._filter.lift is not None:
            self._restart()
        else:
            self.query_one(TrajectoryList).read_again()

    def _restart(self) -> None:
        """Show the list for the current filter from its start."""
        self.reader.interrupt()
        self._list_number += 1
        self._anchors, self._walking = None, False
        self.query_one(TrajectoryList).reset()
        self.show_chips()
        self._first_page(self._list_number, self._filter)

    @work(thread=True, group="first", exclusive=True)
    def _first_page(self, number: int, wanted: TrajectoryFilter) -> None:
        try:
            rows = tuple(self.reader.page(wanted, 0, None))
            self.post_message(PageRead(number, 0, rows, self.reader.has_lifts(wanted.iteration)))
        except OperatorError as error:
            self.post_message(WorkFailed(f"the list can't be read: {error}"))
            return
        self.app.call_from_thread(self._walk, number, wanted, None)

    def _walk(self, number: int, wanted: TrajectoryFilter, known: Anchors | None) -> None:
        if number == self._list_number:
            self._walking = True
            self._walk_in_thread(number, wanted, known)

    @work(thread=True, group="walk")
    def _walk_in_thread(self, number: int, wanted: TrajectoryFilter, known: Anchors | None) -> None:
        try:
            anchors = self.reader.walk(wanted, known, lambda: number == self._list_number)
            total = self.reader.total() if wanted.active() else anchors.total
            self.post_message(AnchorsRead(number, anchors, total))
        except Interrupted:
            return
        except OperatorError as error:
            self.post_message(WorkFailed(f"the list can't be counted: {error}"))

    @on(AnchorsRead)
    def _anchors_read(self, message: AnchorsRead) -> None:
        if message.number != self._list_number:
            return
        self._anchors, self._all, self._walking = message.anchors, message.total, False
        self.query_one(TrajectoryList).set_total(message.anchors.total)
        self.show_chips()
        self._seek()

    @on(TrajectoryList.PageWanted)
    def _page_wanted(self, message: TrajectoryList.PageWanted) -> None:
        if self._anchors is not None and message.number < len(self._anchors.ids):
            self._page(self._list_number, message.number, self._filter, self._anchors)

    @work(thread=True, group="pages")
    def _page(self, number: int, page: int, wanted: TrajectoryFilter, anchors: Anchors) -> None:
        try:
            rows = tuple(self.reader.page(wanted, page, anchors))
            self.post_message(PageRead(number, page, rows, self.reader.has_lifts(wanted.iteration)))
        except OperatorError as error:
            self.post_message(WorkFailed(f"a page of the list can't be read: {error}"))

    @on(PageRead)
    def _page_arrived(self, message: PageRead) -> None:
        if message.number != self._list_number:
            return
        rows = self.query_one(TrajectoryList)
        if message.lifts != rows.lifts:
            rows.show_lifts(message.lifts)
            self.show_columns()
        if self._anchors is None:
            rows.set_total(len(message.rows), counted=len(message.rows) < PAGE_ROWS)
            if not message.rows:
                self.show_empty()
        elif len(message.rows) < min(PAGE_ROWS, rows.total - message.page * PAGE_ROWS) and not self._walking:
            # Rows were deleted (failed ones are deleted before a retry), so the positions must be counted again.
            self._walk(self._list_number, self._filter, None)
        rows.put_page(message.page, message.rows)
        self._seek()

    def go_to(self, trajectory_id: int) -> None:
        """Move the cursor to a trajectory, clearing all filters."""
        self._target = trajectory_id
        if self._filter.active():
            self.apply(TrajectoryFilter())
        else:
            self._seek()

    def show_filter(self, wanted: TrajectoryFilter) -> None:
        """Show the trajectories behind a number on another screen."""
        self._target = None
        self.apply(wanted)

    def _seek(self) -> None:
        """Continue to locate the requested trajectory as far as the loaded anchors allow."""
        if self._target is None or self._anchors is None:
            return
        rows = self.query_one(TrajectoryList)
        page = max(bisect_left(self._anchors.ids, self._target) - 1, 0)
        offset = next((n for n, row in enumerate(rows.page_rows(page)) if row.id == self._target), None)
        if offset is not None:
            self._target = None
            rows.move_to(page * PAGE_ROWS + offset)
            rows.focus()
        elif self._target <= self._anchors.last:
            rows.move_to(page * PAGE_ROWS)

    def apply(self, wanted: TrajectoryFilter) -> None:
        """Show the list for another filter."""
        before, after = self._filter.active(), wanted.active()
        self._order = [name for name in self._order if name in after] + [name for name in after if name not in before]
        self._filter = wanted
        self._restart()

    def action_jump(self) -> None:
        """Jump to a position in the list: a row number, a percentage or a trajectory id."""
        rows = self.query_one(TrajectoryList)

        def newest() -> int:
            return max(self._newest, self._anchors.last if self._anchors else 0)

        def wrong(typed: str) -> str:
            try:
                read_place(typed, rows.total, newest(), counted=rows.counted)
            except NoSuchPlace as reason:
                return str(reason)
            return ""

        def chosen(typed: str | None) -> None:
            if typed is not None:
                self._go(read_place(typed, rows.total, newest()))

        self.app.push_screen(LineDialog("Go to a row of the list", hint=HINT, check=wrong), chosen)

    def _go(self, place: Place) -> None:
        if place.trajectory is not None:
            self.go_to(place.trajectory)
            return
        self._target = None
        rows = self.query_one(TrajectoryList)
        rows.move_to(place.position)
        rows.focus()
