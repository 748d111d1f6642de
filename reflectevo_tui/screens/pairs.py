"""Pair mode: compares two reflections on one attempt that both led to a correct answer. The preferences build Dpref.

The left-right order is derived from the ids of the pair, so that it is the same when the pair is shown again and does
not reveal which reflection came first. Instructions stay hidden until the choice is made.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from reflectevo_tui.screens.base.decision_screen import DecidingScreen
from reflectevo_tui.state.messages import PairsRead, WorkFailed
from reflectevo_tui.state.store_query import ask_store
from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.widgets.line_panel import LinePanel
from store.curation.preferences import add_preference, count_pairs_to_judge, pairs_to_judge
from store.curation.records import OpenPair
from store.errors import OperatorError
from store.records import IterationName
from store.workspace import Workspace

PAGE_PAIRS = 50
TEXT_ROWS = 300
NO_PAIRS = (
    "No pairs to judge.\n\n"
    "Curation finds the pairs when the run trains with dpo-judge and judge.by is operator.\n"
    "esc goes back to single reflections."
)


@dataclass(frozen=True, slots=True)
class Preferred:
    """A preference to be stored. A `confidence` of 0 means that neither reflection is better."""

    chosen_id: int
    rejected_id: int
    confidence: float


def save(connection: sqlite3.Connection, preferred: Preferred) -> None:
    """Append a preference in its own transaction."""
    add_preference(
        connection, preferred.chosen_id, preferred.rejected_id, source="human", confidence=preferred.confidence
    )


def swapped(pair: OpenPair) -> bool:
    """Return whether the second reflection is shown on the left; deterministic for each pair."""
    low, high = sorted((pair.first_id, pair.second_id))
    turned = hashlib.sha256(f"pair|{low}|{high}".encode()).digest()[0] % 2 == 1
    return turned != (pair.first_id > pair.second_id)


def sides(pair: OpenPair) -> tuple[tuple[int, str], tuple[int, str]]:
    """Return id and text of A and of B."""
    both = (pair.first_id, pair.first_text), (pair.second_id, pair.second_text)
    return (both[1], both[0]) if swapped(pair) else both


class PairsScreen(DecidingScreen):
    """Opened on top of Review; `esc` or `p` returns to it."""

    mode: ClassVar[str] = "review"
    save = staticmethod(save)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a,left", "choose(0)", "A is better"),
        Binding("b,right", "choose(1)", "B is better"),
        Binding("s", "undecided", "can't decide"),
        Binding("space", "next", "next"),
        Binding("u", "undo", "previous"),
        Binding("left_square_bracket", "part(-1)", "earlier part of long texts", show=False),
        Binding("right_square_bracket", "part(1)", "later part of long texts", show=False),
        Binding("j,down", "scroll_texts(1)", "scroll", show=False),
        Binding("k,up", "scroll_texts(-1)", "scroll back", show=False),
        Binding("w", "write", "retry saving", show=False),
        Binding("escape,p", "leave", "single reflections"),
    ]

    def __init__(self, workspace: Workspace, iteration: IterationName) -> None:
        super().__init__(workspace)
        self._iteration = iteration
        self._pairs: list[OpenPair] = []
        self._place = self._part = 0
        self._left = 0
        self._chosen: dict[int, str] = {}
        self._order: list[int] = []
        self._reading = False

    def compose_body(self) -> ComposeResult:
        """Compose status, question, attempt and the two reflections."""
        yield LinePanel(id="pair-status")
        for name in ("question", "attempt"):
            with VerticalScroll(id=f"pair-{name}", classes="panel", can_focus=False):
                yield Static(id=f"pair-{name}-text", markup=False)
        with Horizontal(id="pair-texts"):
            for name in ("left", "right"):
                with VerticalScroll(id=f"pair-{name}", classes="panel", can_focus=False):
                    yield Static(id=f"pair-{name}-text", markup=False)

    def on_mount(self) -> None:
        """Read the first pairs."""
        super().on_mount()
        self._want_pairs()

    def _want_pairs(self) -> None:
        if not self._reading:
            self._reading = True
            self._read_pairs(max((pair.id for pair in self._pairs), default=0))

    @work(thread=True, group="pairs")
    def _read_pairs(self, after: int) -> None:
        def question(connection: sqlite3.Connection) -> tuple[list[OpenPair], int]:
            found = pairs_to_judge(connection, self._iteration.id, after=after, limit=PAGE_PAIRS)
            return found, count_pairs_to_judge(connection, self._iteration.id)

        try:
            pairs, left = ask_store(self.workspace, question)
        except OperatorError as error:
            self.post_message(WorkFailed(f"the pairs can't be read: {error}"))
            return
        self.post_message(PairsRead(tuple(pairs), left))

    @on(PairsRead)
    def _pairs_arrived(self, message: PairsRead) -> None:
        self._reading = False
        known = {pair.id for pair in self._pairs}
        # Compared pairs are removed from memory, except for the last page and those that can still be undone.
        self._pairs = [*self._pairs[-PAGE_PAIRS:], *(pair for pair in message.pairs if pair.id not in known)]
        self._left = message.left
        self._place = next(
            (place for place, pair in enumerate(self._pairs) if pair.id not in self._chosen), len(self._pairs)
        )
        self._draw()

    def _pair(self) -> OpenPair | None:
        return self._pairs[self._place] if self._place < len(self._pairs) else None

    def _put(self, name: str, title: Content, body: Content) -> None:
        self.query_one(f"#pair-{name}").border_title = title
        self.query_one(f"#pair-{name}-text", Static).update(body)

    def _draw(self) -> None:
        self.show_status()
        pair = self._pair()
        for name in ("attempt", "texts"):
            self.query_one(f"#pair-{name}").display = pair is not None
        if pair is None:
            self._put("question", display.line("Pairs"), display.text(NO_PAIRS, "$quiet"))
            return
        options = [
            display.line((f"{chr(ord('A') + place)} ", "bold"), display.one_line(option)[:400])
            for place, option in enumerate(pair.options)
        ]
        title = display.line(("Question ", "bold"), (formatting.count(pair.question_id), "bold"), f" · {pair.task}")
        self._put("question", title, display.stacked([self._portion(pair.question), *options]))
        attempt = display.line(("Attempt 1", "bold"), " · ", ("✗ incorrect", "bold $error"))
        self._put("attempt", attempt, self._portion(pair.attempt))
        for name, letter, (_, text) in zip(("left", "right"), "AB", sides(pair), strict=True):
            head = display.line((f" {letter} ", "bold reverse $primary"), (" led to a correct answer", "$quiet"))
            self._put(name, head, self._portion(text))
        for panel in self.query(VerticalScroll):
            panel.scroll_home(animate=False, immediate=True)

    def _portion(self, text: str) -> Content:
        shown = display.portion(text, self._part, TEXT_ROWS)
        if shown.of == 1:
            return shown.content
        return display.stacked(
            [shown.content, display.line((f"part {shown.number + 1} of {shown.of}  [ ] others", "$warning"))]
        )

    def show_status(self) -> None:
        """Show the progress of the comparison."""
        parts: list[Part] = [(" Pairs of ", "$quiet"), (f"iteration {self._iteration.number}", "bold")]
        judged = len(self._chosen)
        left = max(self._left - judged, 0)
        parts += [
            f" · {formatting.count(judged)} judged in this session · ",
            (f"{formatting.count(left)} left", "bold"),
        ]
        pair = self._pair()
        if pair is not None and pair.id in self._chosen:
            parts.append((f" · you chose {self._chosen[pair.id]}", "$accent"))
        if self.unsaved_words:
            parts += [(" ✗ NOT SAVED ", "bold reverse $error"), f" {self.unsaved_words}"]
        self.query_one("#pair-status", LinePanel).show_lines([display.line(*parts)])

    def action_choose(self, side: int) -> None:
        """Prefer A or B."""
        pair = self._pair()
        if pair is not None:
            both = sides(pair)
            self._commit(pair, Preferred(both[side][0], both[1 - side][0], 1.0), "AB"[side])

    def action_undecided(self) -> None:
        """Record a tie; the pair is not used for training."""
        pair = self._pair()
        if pair is not None:
            self._commit(pair, Preferred(pair.first_id, pair.second_id, 0.0), "neither")

    def _commit(self, pair: OpenPair, preferred: Preferred, word: str) -> None:
        self._chosen[pair.id] = word
        self._order.append(pair.id)
        self.commit(preferred)
        self.action_next()

    def action_next(self) -> None:
        """Show the next pair without a preference."""
        self._part = 0
        waiting = [place for place, pair in enumerate(self._pairs) if pair.id not in self._chosen]
        later = [place for place in waiting if place > self._place]
        self._place = later[0] if later else waiting[0] if waiting else len(self._pairs)
        if not later:
            self._want_pairs()
        self._draw()

    def action_undo(self) -> None:
        """Return to the last compared pair; a new preference replaces the earlier one."""
        while self._order:
            last = self._order.pop()
            place = next((place for place, pair in enumerate(self._pairs) if pair.id == last), None)
            if place is not None:
                self._place, self._part = place, 0
                self._draw()
                return
        self.notify("Nothing to go back to in this session.", markup=False)

    def action_part(self, by: int) -> None:
        """Show another part of long texts."""
        self._part = max(self._part + by, 0)
        self._draw()

    def action_scroll_texts(self, direction: int) -> None:
        """Scroll texts that do not fit."""
        for panel in self.query(VerticalScroll):
            panel.scroll_relative(y=3 * direction, animate=False, immediate=True)

    def action_leave(self) -> None:
        """Return to the review of single reflections."""
        self.dismiss(None)
