"""Trajectories: a list through millions with filters and search, and the one under the cursor whole."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Mapping
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import Input

from reflectevo_tui.messages import AnchorsRead, ChoicesMade, ChoicesRead, DetailRead, PageRead, WorkFailed
from reflectevo_tui.operator_choices import OperatorChoices
from reflectevo_tui.pace import Pace
from reflectevo_tui.screens.copy_dialog import CopyDialog, texts_of
from reflectevo_tui.screens.filter_dialog import FilterChoice, FilterDialog
from reflectevo_tui.screens.framed_screen import FramedScreen
from reflectevo_tui.screens.line_dialog import LineDialog
from reflectevo_tui.screens.prompt_dialog import PromptDialog
from reflectevo_tui.snapshot import Snapshot
from reflectevo_tui.trajectory_filters import chip_label, emptiness_words, kept_parts, saved_filter, with_choice
from reflectevo_tui.trajectory_reader import (
    DETAIL_SECONDS,
    GROWTH_SECONDS,
    PAGE_ROWS,
    Choices,
    Interrupted,
    TrajectoryReader,
)
from reflectevo_tui.widgets.filter_chips import FilterChips
from reflectevo_tui.widgets.line_panel import LinePanel
from reflectevo_tui.widgets.trajectory_detail import TrajectoryDetailPane
from reflectevo_tui.widgets.trajectory_list import TrajectoryList, column_titles
from reflectevo_tui.word_changes import word_changes
from store.errors import StoreError
from store.trajectories import Anchors, TrajectoryFilter
from store.workspace import Workspace


class TrajectoriesScreen(FramedScreen):
    """The list drives the detail. Answers of earlier filters and cursors are dropped by their numbers."""

    mode: ClassVar[str] = "trajectories"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "search"),
        Binding("F", "filter", "filter"),
        Binding("x", "remove_filter", "unfilter"),
        Binding("X", "remove_all", "drop all filters", show=False),
        Binding("h", "sibling(-1)", "siblings", key_display="h/l"),
        Binding("l", "sibling(1)", "next sibling", show=False),
        Binding("v", "prompt", "prompt"),
        Binding("y", "copy", "copy a text", show=False),
        Binding("S", "save_filter", "keep this filter under a name", show=False),
        Binding("tab,enter", "switch_pane", "detail"),
        Binding("G", "newest", "newest"),
        Binding("escape", "list", "back to the list", show=False),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.reader = TrajectoryReader(workspace)
        self._filter = TrajectoryFilter()
        self._order: list[str] = []
        self._labels: dict[str, str] = {}
        self._choices: Choices = {}
        self._list_number = self._detail_number = self._newest = 0
        self._anchors: Anchors | None = None
        self._all: int | None = None
        self._walking = False
        self._growth = Pace(GROWTH_SECONDS)
        self._target: int | None = None
        self._rest: Timer | None = None

    def compose_body(self) -> ComposeResult:
        """Chips, search line, list, detail."""
        yield FilterChips()
        yield Input(id="search", placeholder='words, "a phrase"; enter searches, escape leaves it', compact=True)
        yield LinePanel(id="columns")
        yield TrajectoryList()
        yield TrajectoryDetailPane()

    def on_mount(self) -> None:
        """Read the first page."""
        super().on_mount()
        self.query_one(TrajectoryList).focus()
        self._restart()

    def on_unmount(self) -> None:
        """Close the connections."""
        self.reader.close()

    def on_resize(self, event: events.Resize) -> None:
        """Columns fit the width."""
        self.query_one("#columns", LinePanel).show_lines([column_titles(event.size.width)])

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Follow the growth of the list."""
        super().show_snapshot(snapshot)
        self._newest = snapshot.newest[0].id if snapshot.newest else 0

    def tick(self) -> None:
        """Count what was appended, at most every few seconds: the whole window is painted anew for it."""
        super().tick()
        behind = self._anchors is not None and self._newest > self._anchors.last
        if behind and not self._walking and self._growth.due():
            self._walk(self._list_number, self._filter, self._anchors)

    def _restart(self) -> None:
        """Show the list of the current filter from its start."""
        self.reader.interrupt()
        self._list_number += 1
        self._anchors, self._walking = None, False
        self.query_one(TrajectoryList).reset()
        self._show_chips()
        self._first_page(self._list_number, self._filter)

    @work(thread=True, group="first", exclusive=True)
    def _first_page(self, number: int, wanted: TrajectoryFilter) -> None:
        try:
            self.post_message(PageRead(number, 0, tuple(self.reader.page(wanted, 0, None))))
        except (StoreError, sqlite3.Error) as error:
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
            self.post_message(AnchorsRead(number, self.reader.walk(wanted, known), self.reader.total()))
        except Interrupted:
            return
        except (StoreError, sqlite3.Error) as error:
            self.post_message(WorkFailed(f"the list can't be counted: {error}"))

    @on(AnchorsRead)
    def _anchors_read(self, message: AnchorsRead) -> None:
        if message.number != self._list_number:
            return
        self._anchors, self._all, self._walking = message.anchors, message.total, False
        self.query_one(TrajectoryList).set_total(message.anchors.total)
        self._show_chips()
        self._seek()

    @on(TrajectoryList.PageWanted)
    def _page_wanted(self, message: TrajectoryList.PageWanted) -> None:
        if self._anchors is not None and message.number < len(self._anchors.ids):
            self._page(self._list_number, message.number, self._filter, self._anchors)

    @work(thread=True, group="pages")
    def _page(self, number: int, page: int, wanted: TrajectoryFilter, anchors: Anchors) -> None:
        try:
            self.post_message(PageRead(number, page, tuple(self.reader.page(wanted, page, anchors))))
        except (StoreError, sqlite3.Error) as error:
            self.post_message(WorkFailed(f"a page of the list can't be read: {error}"))

    @on(PageRead)
    def _page_arrived(self, message: PageRead) -> None:
        if message.number != self._list_number:
            return
        rows = self.query_one(TrajectoryList)
        if self._anchors is None:
            rows.set_total(len(message.rows))
            if not message.rows:
                self.query_one(TrajectoryDetailPane).show_nothing(emptiness_words(self._filter))
        elif len(message.rows) < min(PAGE_ROWS, rows.total - message.page * PAGE_ROWS) and not self._walking:
            # Rows were deleted (failed ones are, before a retry): count anew.
            self._walk(self._list_number, self._filter, None)
        rows.put_page(message.page, message.rows)
        self._seek()

    def go_to(self, trajectory_id: int) -> None:
        """Bring a trajectory under the cursor, lifting all filters for it."""
        self._target = trajectory_id
        if self._filter.active():
            self._apply(TrajectoryFilter())
        else:
            self._seek()

    def show_filter(self, wanted: TrajectoryFilter) -> None:
        """Show the trajectories behind a number of another screen."""
        self._target = None
        self._apply(wanted)

    def _seek(self) -> None:
        """Go on towards the wanted trajectory as far as what is loaded allows."""
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

    def _apply(self, wanted: TrajectoryFilter) -> None:
        before, after = self._filter.active(), wanted.active()
        self._order = [name for name in self._order if name in after] + [name for name in after if name not in before]
        self._filter = wanted
        self._restart()

    def _show_chips(self) -> None:
        active = self._filter.active()
        chips = {name: chip_label(name, active[name], self._choices) for name in self._order}
        self.query_one(FilterChips).show_filter(self._all, self._anchors.total if self._anchors else None, chips)

    def action_search(self) -> None:
        """Ask for words."""
        field = self.query_one("#search", Input)
        field.display = True
        field.value = self._filter.search
        field.focus()

    @on(Input.Submitted, "#search")
    def _search(self, message: Input.Submitted) -> None:
        self.action_list()
        self._apply(with_choice(self._filter, "search", message.value.strip()))

    @work(thread=True, group="choices", exclusive=True)
    def action_filter(self) -> None:
        """Offer the filters."""
        try:
            self.post_message(ChoicesRead(self.reader.choices()))
        except (StoreError, sqlite3.Error) as error:
            self.post_message(WorkFailed(f"the filters can't be read: {error}"))

    @on(ChoicesRead)
    def _offer(self, message: ChoicesRead) -> None:
        self._choices = message.choices = {**message.choices, "saved": [(name, name) for name in self._saved()]}

        def chosen(choice: FilterChoice | None) -> None:
            if choice is not None:
                name, value = choice
                saved = self._saved().get(value or "", {})
                self._apply(saved_filter(saved) if name == "saved" else with_choice(self._filter, name, value))

        self.app.push_screen(FilterDialog(message.choices, self._filter.active()), chosen)

    def _saved(self) -> Mapping[str, Mapping[str, str]]:
        choices = getattr(self.app, "choices", None)
        return choices.filters if isinstance(choices, OperatorChoices) else {}

    def action_save_filter(self) -> None:
        """Keep this filter under a name, for every workspace; an empty filter of that name forgets it."""
        kept = kept_parts(self._filter)

        def named(name: str | None) -> None:
            if name:
                filters = {key: value for key, value in self._saved().items() if key != name}
                self.post_message(ChoicesMade({"filters": {**filters, name: kept} if kept else filters}))
                self.notify("Kept; F offers it under saved." if kept else "Forgotten.", markup=False)

        self.app.push_screen(LineDialog("Keep this filter under the name", hint="e.g. fixed math"), named)

    def action_copy(self) -> None:
        """Copy a text of the trajectory under the cursor."""
        detail = self.query_one(TrajectoryDetailPane).detail
        if detail is not None:
            self.app.push_screen(CopyDialog(texts_of(detail)))

    def action_remove_filter(self) -> None:
        """Drop the filter that came last."""
        if self._order:
            self._apply(with_choice(self._filter, self._order[-1], None))

    @on(FilterChips.Removed)
    def _chip_clicked(self, message: FilterChips.Removed) -> None:
        self._apply(with_choice(self._filter, message.name, None))

    def action_remove_all(self) -> None:
        """Drop every filter."""
        if self._order:
            self._apply(TrajectoryFilter())

    @on(TrajectoryList.CursorMoved)
    def _cursor_moved(self, message: TrajectoryList.CursorMoved) -> None:
        if self._rest is not None:
            self._rest.stop()
        if message.row is not None:
            trajectory_id = message.row.id
            self._rest = self.set_timer(DETAIL_SECONDS, lambda: self._want_detail(trajectory_id))

    def _want_detail(self, trajectory_id: int) -> None:
        self._detail_number += 1
        self._read_detail(self._detail_number, trajectory_id)

    @work(thread=True, group="detail")
    def _read_detail(self, number: int, trajectory_id: int) -> None:
        try:
            detail = self.reader.detail(trajectory_id)
        except (StoreError, sqlite3.Error) as error:
            self.post_message(WorkFailed(f"trajectory {trajectory_id} can't be read: {error}"))
            return
        if detail is None or number != self._detail_number:
            return
        correction = detail.correction
        changes = word_changes(detail.attempt.reasoning, correction.reasoning) if correction else None
        self.post_message(DetailRead(number, detail, changes))

    @on(DetailRead)
    def _detail_arrived(self, message: DetailRead) -> None:
        if message.number == self._detail_number:
            self.query_one(TrajectoryDetailPane).show_detail(message.detail, message.changes)

    def action_sibling(self, by: int) -> None:
        """Flip to another reflection of the same attempt."""
        detail = self.query_one(TrajectoryDetailPane).detail
        if detail is not None and detail.row.id in detail.siblings:
            place = detail.siblings.index(detail.row.id) + by
            if 0 <= place < len(detail.siblings):
                self._want_detail(detail.siblings[place])

    def action_prompt(self) -> None:
        """Show the prompts of this trajectory exactly as sent."""
        detail = self.query_one(TrajectoryDetailPane).detail
        if detail is not None:
            self.app.push_screen(PromptDialog(self.workspace, detail))

    def action_switch_pane(self) -> None:
        """Between list and detail."""
        pane, rows = self.query_one(TrajectoryDetailPane), self.query_one(TrajectoryList)
        (rows if pane.has_focus else pane).focus()

    @on(events.DescendantFocus)
    def _make_room(self, event: events.DescendantFocus) -> None:
        """On a small terminal the pane that is read gets the room."""
        self.set_class(isinstance(event.widget, TrajectoryDetailPane), "-reading")

    def action_newest(self) -> None:
        """To the newest trajectory."""
        self.query_one(TrajectoryList).action_newest()

    def action_list(self) -> None:
        """Back to the list; the search line goes."""
        self.query_one("#search", Input).display = False
        self.query_one(TrajectoryList).focus()
