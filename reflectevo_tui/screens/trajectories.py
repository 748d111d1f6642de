"""Trajectories screen: a filtered and searchable list of millions of rows, and the selected trajectory in full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import Input

from reflectevo_tui.screens.dialogs.copy_text import CopyDialog, texts_of
from reflectevo_tui.screens.dialogs.filter import FilterChoice, FilterDialog
from reflectevo_tui.screens.dialogs.prompt import PromptDialog
from reflectevo_tui.screens.dialogs.text_input import LineDialog
from reflectevo_tui.screens.paged_trajectories import PagedTrajectories
from reflectevo_tui.state.messages import ChoicesMade, ChoicesRead, DetailRead, FilterNamesRead, WorkFailed
from reflectevo_tui.state.trajectory_filters import (
    BY_ID,
    chip_label,
    emptiness_words,
    kept_parts,
    saved_filter,
    with_choice,
)
from reflectevo_tui.state.trajectory_reader import DETAIL_SECONDS, Choices
from reflectevo_tui.state.user_config import OperatorChoices
from reflectevo_tui.text.lift_words import NO_LIFTS, ORDERS
from reflectevo_tui.text.word_diff import word_changes
from reflectevo_tui.widgets.filter_chips import FilterChips
from reflectevo_tui.widgets.line_panel import LinePanel
from reflectevo_tui.widgets.trajectory_detail import TrajectoryDetailPane
from reflectevo_tui.widgets.trajectory_list import TrajectoryList, column_titles
from store.errors import OperatorError
from store.rollouts.trajectories import TrajectoryFilter
from store.workspace import Workspace


class TrajectoriesScreen(PagedTrajectories):
    """The list controls the detail pane. Responses for an earlier cursor are discarded by their request number."""

    mode: ClassVar[str] = "trajectories"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "search"),
        Binding("F", "filter", "filter"),
        Binding("x", "remove_filter", "unfilter"),
        Binding("s", "order", "order by lift", show=False),
        Binding("X", "remove_all", "remove all filters", show=False),
        Binding("h", "sibling(-1)", "siblings", key_display="h/l"),
        Binding("l", "sibling(1)", "next sibling", show=False),
        Binding("v", "prompt", "prompt"),
        Binding("T", "thoughts", "show or fold thoughts", show=False),
        Binding("y", "copy", "copy a text", show=False),
        Binding("S", "save_filter", "save this filter", show=False),
        Binding("tab,enter", "switch_pane", "detail"),
        Binding("G", "newest", "newest"),
        Binding("colon", "jump", "go to", key_display=":"),
        Binding("escape", "list", "back to the list", show=False),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._choices: Choices = {}
        self._asked: dict[str, str] = {}
        self._detail_number = 0
        self._rest: Timer | None = None

    def compose_body(self) -> ComposeResult:
        """Compose chips, search line, list and detail pane."""
        yield FilterChips()
        yield Input(id="search", placeholder='words, "a phrase"; enter searches, escape leaves it', compact=True)
        yield LinePanel(id="columns")
        yield TrajectoryList()
        yield TrajectoryDetailPane()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the columns to the new width."""
        self.show_columns()

    def show_columns(self) -> None:
        """Show the titles of the columns."""
        titles = column_titles(self.size.width, self.query_one(TrajectoryList).lifts)
        self.query_one("#columns", LinePanel).show_lines([titles])

    def show_empty(self) -> None:
        """Explain why the list is empty."""
        self.query_one(TrajectoryDetailPane).show_nothing(emptiness_words(self._filter))

    def show_chips(self) -> None:
        """Show the active filters."""
        active = self._filter.active()
        chips = {name: chip_label(name, active[name], self._choices) for name in self._order}
        self.query_one(FilterChips).show_filter(self._all, self._anchors.total if self._anchors else None, chips)
        by_id = {name: active[name] for name in BY_ID if name in active}
        # Each id is looked up once: a deleted one has no name and keeps its number.
        if any(
            value not in dict(self._choices.get(name, [])) and self._asked.get(name) != value
            for name, value in by_id.items()
        ):
            self._asked |= by_id
            self._read_names()

    @work(thread=True, group="names", exclusive=True)
    def _read_names(self) -> None:
        try:
            self.post_message(FilterNamesRead(self.reader.names()))
        except OperatorError as error:
            self.post_message(WorkFailed(f"the names of the filters can't be read: {error}"))

    @on(FilterNamesRead)
    def _name_chips(self, message: FilterNamesRead) -> None:
        self._choices = {**self._choices, **message.names}
        self.show_chips()

    def action_search(self) -> None:
        """Open the search line."""
        field = self.query_one("#search", Input)
        field.display = True
        field.value = self._filter.search
        field.focus()

    @on(Input.Submitted, "#search")
    def _search(self, message: Input.Submitted) -> None:
        self.action_list()
        self.apply(with_choice(self._filter, "search", message.value.strip()))

    @work(thread=True, group="choices", exclusive=True)
    def action_filter(self) -> None:
        """Open the filter dialog."""
        try:
            self.post_message(ChoicesRead(self.reader.choices()))
        except OperatorError as error:
            self.post_message(WorkFailed(f"the filters can't be read: {error}"))

    @on(ChoicesRead)
    def _offer(self, message: ChoicesRead) -> None:
        self._choices = message.choices = {**message.choices, "saved": [(name, name) for name in self._saved()]}

        def chosen(choice: FilterChoice | None) -> None:
            if choice is not None:
                name, value = choice
                saved = self._saved().get(value or "", {})
                self.apply(saved_filter(saved) if name == "saved" else with_choice(self._filter, name, value))

        self.app.push_screen(FilterDialog(message.choices, self._filter.active()), chosen)

    def _saved(self) -> Mapping[str, Mapping[str, str]]:
        choices = getattr(self.app, "choices", None)
        return choices.filters if isinstance(choices, OperatorChoices) else {}

    def action_save_filter(self) -> None:
        """Save the filter under a name, for all workspaces; saving an empty filter under a name deletes it."""
        kept = kept_parts(self._filter)

        def named(name: str | None) -> None:
            if name:
                filters = {key: value for key, value in self._saved().items() if key != name}
                self.post_message(ChoicesMade({"filters": {**filters, name: kept} if kept else filters}))
                self.notify("Saved. F → saved lists it." if kept else "Forgotten.", markup=False)

        self.app.push_screen(LineDialog("Save this filter as", hint="e.g. fixed math"), named)

    def action_copy(self) -> None:
        """Copy a text of the trajectory under the cursor."""
        detail = self.query_one(TrajectoryDetailPane).detail
        if detail is not None:
            self.app.push_screen(CopyDialog(texts_of(detail)))

    def action_order(self) -> None:
        """Order the list by lift: highest first, lowest first, then by id again."""
        if self._filter.order is None and not self.query_one(TrajectoryList).lifts:
            self.notify(NO_LIFTS, markup=False)
            return
        self.apply(with_choice(self._filter, "order", ORDERS[self._filter.order]))

    def action_remove_filter(self) -> None:
        """Remove the filter that was added last."""
        if self._order:
            self.apply(with_choice(self._filter, self._order[-1], None))

    @on(FilterChips.Removed)
    def _chip_clicked(self, message: FilterChips.Removed) -> None:
        self.apply(with_choice(self._filter, message.name, None))

    def action_remove_all(self) -> None:
        """Remove all filters."""
        if self._order:
            self.apply(TrajectoryFilter())

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
        except OperatorError as error:
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
        """Show another reflection on the same attempt."""
        detail = self.query_one(TrajectoryDetailPane).detail
        if detail is not None and detail.row.id in detail.siblings:
            place = detail.siblings.index(detail.row.id) + by
            if 0 <= place < len(detail.siblings):
                self._want_detail(detail.siblings[place])

    def action_thoughts(self) -> None:
        """Unfold the thoughts of this trajectory, or fold them again."""
        self.query_one(TrajectoryDetailPane).fold_thoughts()

    def action_prompt(self) -> None:
        """Show the prompts of this trajectory exactly as sent."""
        detail = self.query_one(TrajectoryDetailPane).detail
        if detail is not None:
            self.app.push_screen(PromptDialog(self.workspace, detail))

    def action_switch_pane(self) -> None:
        """Switch between list and detail pane."""
        pane, rows = self.query_one(TrajectoryDetailPane), self.query_one(TrajectoryList)
        (rows if pane.has_focus else pane).focus()

    @on(events.DescendantFocus)
    def _make_room(self, event: events.DescendantFocus) -> None:
        """Enlarge the focused pane on a small terminal."""
        self.set_class(isinstance(event.widget, TrajectoryDetailPane), "-reading")

    def action_newest(self) -> None:
        """Move to the newest trajectory."""
        self.query_one(TrajectoryList).action_newest()

    def action_list(self) -> None:
        """Return to the list and hide the search line."""
        self.query_one("#search", Input).display = False
        self.query_one(TrajectoryList).focus()
