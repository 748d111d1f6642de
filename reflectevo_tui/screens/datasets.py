"""Datasets screen: how D+, D± and Dpref of an iteration were curated, and their examples as seen by the model."""

from __future__ import annotations

import sqlite3
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message

from reflectevo_tui.screens.base.iteration_screen import ITERATION_KEYS, IterationScreen
from reflectevo_tui.screens.dialogs.example_tokens import ExampleDialog
from reflectevo_tui.state.messages import TrajectoryWanted, WorkFailed
from reflectevo_tui.state.store_query import ask_store
from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.widgets.dataset_funnel import count_lines, funnel_lines, included_in, reasons_of
from reflectevo_tui.widgets.line_panel import LinePanel
from reflectevo_tui.widgets.paged_list import ListedRow, PagedList
from store.curation.datasets import SET_NAMES, DatasetFacts, ExampleRow, RolloutCounts, dataset_facts, examples
from store.curation.training_settings import SET_TITLES, SetName
from store.errors import OperatorError
from store.workspace import Workspace

PAGE_ROWS = 100
NOTHING = DatasetFacts(RolloutCounts(0, 0, 0, 0, 0), (), 0, curates_again=False)


def example_line(row: ExampleRow) -> Content:
    """Format an example as one line: its origin and the start of its text; for a pair, of both sides."""
    parts: list[Part] = [
        (f"{formatting.count(row.id):>8} ", ""),
        (display.fitted(row.task, 12), "$quiet"),
        (f" {row.instruction:<6} ", "$quiet"),
    ]
    if row.other_excerpt is None:
        return display.line(*parts, display.one_line(row.excerpt))
    chosen, rejected = display.fitted(row.excerpt, 48), display.one_line(row.other_excerpt)
    return display.line(*parts, ("+ ", "bold $success"), chosen, (" − ", "bold $error"), (rejected, "$quiet"))


class DatasetsScreen(IterationScreen):
    """Funnel on the left, examples on the right. `r` cycles through the exclusion reasons and lists their rows."""

    mode: ClassVar[str] = "datasets"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "set(1)", "next set"),
        Binding("shift+tab", "set(-1)", "previous set", show=False),
        Binding("r", "reason(1)", "reason"),
        Binding("R", "reason(-1)", "earlier reason", show=False),
        Binding("enter", "example", "tokens"),
        Binding("o", "open", "trajectory"),
        Binding("c", "counts", "counts"),
        *ITERATION_KEYS,
    ]

    class FactsRead(Message):
        """Posted when the counts of an iteration were read."""

        def __init__(self, number: int, facts: DatasetFacts) -> None:
            super().__init__()
            self.number = number
            self.facts = facts

    class ExamplesRead(Message):
        """Posted when a page of examples was read."""

        def __init__(self, number: int, rows: list[ExampleRow], direction: int, key: int) -> None:
            super().__init__()
            self.number = number
            self.rows = rows
            self.direction = direction
            self.key = key

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._facts = NOTHING
        self._set: SetName = SET_NAMES[0]
        self._reason: str | None = None
        self._rows: dict[int, ExampleRow] = {}
        self._facts_number = self._page_number = 0
        self._listed: tuple[int | None, str, str | None, int] = (None, "", None, -1)

    def compose_body(self) -> ComposeResult:
        """Compose sets, funnel, counts and examples."""
        yield LinePanel(id="dataset-sets")
        with Horizontal(id="datasets"):
            with Vertical(id="dataset-left"):
                yield LinePanel("From trajectories to examples", id="dataset-funnel", classes="panel")
                yield LinePanel("Examples", id="dataset-counts", classes="panel")
            yield PagedList("Examples", "reading …", id="dataset-examples")

    def on_mount(self) -> None:
        """Focus the list of examples."""
        super().on_mount()
        self.query_one(PagedList).focus()

    def on_resize(self) -> None:
        """Redraw the counts for the new height."""
        self.call_after_refresh(self._show_facts)

    def read_iteration(self) -> None:
        """Read the counts of the iteration's sets."""
        if self.iteration is None:
            self._facts = NOTHING
            self._show_facts()
            self.query_one(PagedList).say_empty("No iteration yet.\n\n7 launches a run.")
            self.query_one(PagedList).show_rows(())
            return
        self._facts_number += 1
        self._read_facts(self._facts_number, self.iteration.id)

    @work(thread=True, exclusive=True, group="facts")
    def _read_facts(self, number: int, iteration_id: int) -> None:
        try:
            facts = ask_store(self.workspace, lambda connection: dataset_facts(connection, iteration_id))
        except OperatorError as error:
            self.post_message(WorkFailed(f"the training sets can't be read: {error}"))
            return
        self.post_message(self.FactsRead(number, facts))

    @on(FactsRead)
    def _facts_arrived(self, message: FactsRead) -> None:
        if message.number != self._facts_number:
            return
        self._facts = message.facts
        if self._reason is not None and self._reason not in reasons_of(self._facts.counts, self._set):
            self._reason = None
        self._show_facts()
        self._list()

    def _row_count(self) -> int:
        if self._reason is None:
            return included_in(self._facts.counts, self._set)
        return reasons_of(self._facts.counts, self._set)[self._reason]

    def _list(self) -> None:
        """List the examples from the start, unless the current selection is already listed."""
        wanted = (self.iteration.id if self.iteration else None, self._set, self._reason, self._row_count())
        if wanted != self._listed:
            self._listed = wanted
            self._want_page(0, 1)

    def _want_page(self, key: int, direction: int) -> None:
        if self.iteration is not None:
            self._page_number += 1
            self._read_page(self._page_number, self.iteration.id, self._set, self._reason, key, direction)

    @work(thread=True, exclusive=True, group="examples")
    def _read_page(
        self, number: int, iteration_id: int, set_name: SetName, reason: str | None, key: int, direction: int
    ) -> None:
        def question(connection: sqlite3.Connection) -> list[ExampleRow]:
            return examples(
                connection, iteration_id, set_name, reason=reason, key=key, direction=direction, limit=PAGE_ROWS + 1
            )

        try:
            self.post_message(self.ExamplesRead(number, ask_store(self.workspace, question), direction, key))
        except OperatorError as error:
            self.post_message(WorkFailed(f"the examples can't be read: {error}"))

    @on(ExamplesRead)
    def _page_arrived(self, message: ExamplesRead) -> None:
        if message.number != self._page_number:
            return
        # One row more than a page is requested, to detect whether there are further rows in that direction.
        more = len(message.rows) > PAGE_ROWS
        rows = message.rows[:PAGE_ROWS] if message.direction > 0 else message.rows[-PAGE_ROWS:]
        before = message.key > 0 if message.direction > 0 else more
        after = more if message.direction > 0 else True
        self._rows = {row.id: row for row in rows}
        listed = self.query_one(PagedList)
        what = "Examples" if self._reason is None else f"Left out: {self._reason}"
        listed.set_title(
            display.line((f"{SET_TITLES[self._set]} · {what}", "bold"), f" · {formatting.count(self._row_count())}")
        )
        listed.say_empty(self._empty_words())
        shown = [ListedRow(row.id, example_line(row)) for row in rows]
        listed.show_rows(shown, before=before, after=after, at_end=message.direction < 0)

    def _empty_words(self) -> str:
        if any(one.set_name == self._set for one in self._facts.counts):
            return "Nothing here.\n\nr shows what was left out, by reason."
        return "This set was not curated.\n\nThe curate stage makes it. tab shows the other sets."

    @on(PagedList.PageWanted)
    def _page_wanted(self, message: PagedList.PageWanted) -> None:
        self._want_page(message.key, message.direction)

    def _show_facts(self) -> None:
        parts: list[Part] = [(f" {self.iteration_words}  ", "bold")]
        for name in SET_NAMES:
            words = f" {SET_TITLES[name]} {formatting.count(included_in(self._facts.counts, name))} "
            parts += [(words, "bold reverse" if name == self._set else "$quiet"), " "]
        self.query_one("#dataset-sets", LinePanel).show_lines([display.line(*parts)])
        funnel = funnel_lines(self._facts, self._set, self._reason)
        self.query_one("#dataset-funnel", LinePanel).show_lines(funnel)
        counts = self.query_one("#dataset-counts", LinePanel)
        counts.show_lines(count_lines(self._facts.counts, self._set, counts.size.height))

    def action_set(self, by: int) -> None:
        """Select another set."""
        self._set = SET_NAMES[(SET_NAMES.index(self._set) + by) % len(SET_NAMES)]
        self._reason = None
        self._show_facts()
        self._list()

    def action_reason(self, by: int) -> None:
        """List the rows excluded for another reason; after the last reason, the included rows."""
        choices: list[str | None] = [None, *reasons_of(self._facts.counts, self._set)]
        self._reason = choices[(choices.index(self._reason) + by) % len(choices)]
        self._show_facts()
        self._list()

    def action_counts(self) -> None:
        """Toggle between the counts and the funnel with its list on a small terminal."""
        self.toggle_class("-counts")
        self.call_after_refresh(self._show_facts)

    def action_example(self) -> None:
        """Show the tokens of the example under the cursor."""
        key = self.query_one(PagedList).key
        if key is not None:
            self._show_example(key)

    @on(PagedList.Opened)
    def _opened(self, message: PagedList.Opened) -> None:
        self._show_example(message.key)

    def _show_example(self, key: int) -> None:
        self.app.push_screen(
            ExampleDialog(self.workspace, key, f"{SET_TITLES[self._set]} example {formatting.count(key)}")
        )

    def action_open(self) -> None:
        """Open the trajectory of the example under the cursor."""
        row = self._rows.get(self.query_one(PagedList).key or 0)
        if row is not None and row.trajectory is not None:
            self.post_message(TrajectoryWanted(row.trajectory))
