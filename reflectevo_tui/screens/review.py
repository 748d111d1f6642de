"""Review screen: spot-checks of single reflections with one-handed keys. The decisions affect the next curation."""

from __future__ import annotations

import sqlite3
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from reflectevo_tui.screens.base.decision_screen import DecidingScreen
from reflectevo_tui.screens.base.iteration_screen import ITERATION_KEYS, IterationScreen
from reflectevo_tui.screens.dialogs.copy_text import CopyDialog, texts_of
from reflectevo_tui.screens.dialogs.prompt import PromptDialog
from reflectevo_tui.screens.dialogs.text_input import LineDialog
from reflectevo_tui.screens.registry import SCREENS
from reflectevo_tui.state.messages import CardRead, QueueRead, TrajectoryWanted, WorkFailed
from reflectevo_tui.state.review_reader import read_card, read_queue, sample_numbers
from reflectevo_tui.state.review_session import Decided, Draft, ReviewSession
from reflectevo_tui.text import display
from reflectevo_tui.text.lift_words import NO_LIFTS, ORDERS
from reflectevo_tui.widgets.line_panel import LinePanel
from reflectevo_tui.widgets.review_card import ReviewCard
from reflectevo_tui.widgets.review_decision import decision_line, kinds_line, place_words
from reflectevo_tui.widgets.review_status import ReviewStatus, status_lines
from store.curation.review_queue import ReviewQueue
from store.curation.reviews import ERROR_KINDS, Decision, add_review
from store.errors import OperatorError
from store.workspace import Workspace

TARGET = 200
NOTHING = (
    "No reflection to review yet.\n\nReflections appear here once their corrections are verified.\n"
    "F1 shows the run; use , and . to change the iteration."
)


def save(connection: sqlite3.Connection, decided: Decided) -> None:
    """Append a decision in its own transaction."""
    add_review(connection, decided.reflection_id, decided.decision, error_kind=decided.error_kind, note=decided.note)


class ReviewScreen(IterationScreen, DecidingScreen):
    """The number keys select error kinds here; F1 to F8, or `g` and a number, switch screens."""

    mode: ClassVar[str] = "review"
    save = staticmethod(save)
    tab_prefix: ClassVar[str] = "F"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('accept')", "accept"),
        Binding("r", "decide('reject')", "reject"),
        Binding("f", "decide('flag')", "flag"),
        *(
            Binding(
                str(number),
                f"kind({number})",
                "kind" if number == 1 else f"error kind: {word}",
                show=number == 1,
                key_display="1–8" if number == 1 else None,
            )
            for number, word in enumerate(ERROR_KINDS, start=1)
        ),
        Binding("n", "note", "note"),
        Binding("u", "undo", "undo"),
        Binding("h", "sibling(-1)", "sibling", key_display="h/l"),
        Binding("l", "sibling(1)", "next sibling", show=False),
        Binding("space", "next", "next"),
        Binding("p", "pairs", "pairs"),
        Binding("g", "go", "screens", key_display="F1–F8"),
        Binding("backspace", "previous", "previous", show=False),
        Binding("t", "sample", "sample size and seed", show=False),
        Binding("s", "order", "order by lift", show=False),
        Binding("w", "write", "retry saving", show=False),
        Binding("j,down", "scroll_texts(1)", "scroll", show=False),
        Binding("k,up", "scroll_texts(-1)", "scroll back", show=False),
        Binding("left_square_bracket", "part(-1)", "earlier part of long texts", show=False),
        Binding("right_square_bracket", "part(1)", "later part of long texts", show=False),
        Binding("v", "prompt", "prompts as sent", show=False),
        Binding("y", "copy", "copy a text", show=False),
        Binding("o", "open", "open in Trajectories", show=False),
        *ITERATION_KEYS,
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._session = ReviewSession()
        self._drawn_for: tuple[int | None, int, int] = (None, 0, 0)
        self._target, self._seed = TARGET, 0
        self._queue_number = self._card_number = 0
        self._awaited = self._early = False
        self._going = False

    def compose_body(self) -> ComposeResult:
        """Compose status, card, error kinds and decision."""
        yield ReviewStatus()
        yield ReviewCard()
        yield LinePanel(id="review-kinds")
        yield LinePanel(id="review-decision")

    def on_mount(self) -> None:
        """Show the empty state until the first sample is read."""
        super().on_mount()
        self.query_one(ReviewCard).say("drawing the sample …")
        self.query_one("#review-kinds", LinePanel).show_lines([kinds_line(None)])

    def on_resize(self) -> None:
        """Fit the status line to the new width."""
        self.show_status()

    def read_iteration(self) -> None:
        """Draw the sample, or reload the decisions on the sample already drawn."""
        wanted = (self.iteration.id if self.iteration else None, self._target, self._seed)
        if wanted[0] is None:
            self.query_one(ReviewCard).say(NOTHING)
            self.show_status()
            return
        if wanted[0] != self._drawn_for[0]:
            order, self._session = self._session.order, ReviewSession()
            self._session.order = order
        queue = self._session.drawn
        full = wanted == self._drawn_for and len(queue.items) >= self._target
        self._queue_number += 1
        self._read_queue(self._queue_number, wanted[0], queue if full else None)

    @work(thread=True, exclusive=True, group="queue")
    def _read_queue(self, number: int, iteration_id: int, known: ReviewQueue | None) -> None:
        try:
            queue, reviewed = read_queue(self.workspace, iteration_id, self._target, self._seed, known)
        except OperatorError as error:
            self.post_message(WorkFailed(f"the sample can't be read: {error}"))
            return
        self.post_message(QueueRead(number, queue, reviewed))

    @on(QueueRead)
    def _queue_arrived(self, message: QueueRead) -> None:
        if message.number != self._queue_number or self.iteration is None:
            return
        before = self._session.item
        self._drawn_for = (self.iteration.id, self._target, self._seed)
        self._session.take_queue(message.queue, message.reviewed, bool(self._writer.unsaved))
        item = self._session.item
        if item is None:
            self.query_one(ReviewCard).say(NOTHING)
        elif before is None or before.trajectory_id != item.trajectory_id:
            self._want_card(item.trajectory_id)
        self.show_status()
        self._show_decision()

    def _want_card(self, trajectory_id: int) -> None:
        self._card_number += 1
        self._awaited, self._early = True, False
        self._read_card(self._card_number, trajectory_id)

    @work(thread=True, group="card")
    def _read_card(self, number: int, trajectory_id: int) -> None:
        card, failure = None, f"trajectory {trajectory_id} is not in the store any more"
        try:
            card = read_card(self.workspace, trajectory_id)
        except OperatorError as error:
            failure = f"trajectory {trajectory_id} can't be read: {error}"
        self.post_message(CardRead(number, card, failure))

    @on(CardRead)
    def _card_arrived(self, message: CardRead) -> None:
        if message.number != self._card_number:
            return
        self._awaited, card = False, message.card
        if card is None:
            self.query_one(ReviewCard).say(f"{message.failure}\n\nspace goes to the next reflection.")
            self.query_one("#review-decision", LinePanel).show_lines([])
            return
        if card.detail.reflection is not None:
            self._session.take_review(card.detail.reflection.id, card.review)
        self.query_one(ReviewCard).show_detail(card.detail, card.changes)
        self._show_decision()

    def _subject(self) -> tuple[int, int] | None:
        """Return the ids of the displayed trajectory and reflection."""
        detail = self.query_one(ReviewCard).detail
        return (detail.row.id, detail.reflection.id) if detail and detail.reflection else None

    def _to_decide(self) -> tuple[int, int] | None:
        """Return the subject of a decision key; None while another card is loading, because it is ambiguous then."""
        self._early = self._awaited
        return None if self._awaited else self._subject()

    def action_decide(self, decision: Decision) -> None:
        """Accept, reject or flag the displayed reflection, and show the next one."""
        subject = self._to_decide()
        if subject is None:
            return
        self.commit(self._session.decide(*subject, decision))
        # A sibling may be decided without being in the sample; the sampled item then still needs a decision.
        item = self._session.item
        if item is not None and item.trajectory_id == subject[0]:
            self.action_next()
        else:
            self._show_decision()

    def action_kind(self, kind: int) -> None:
        """Select the error kind stored with the next decision; the same key again clears it."""
        if self._going:
            self._going = False
            mode = next(entry.mode for entry in SCREENS.values() if entry.key == str(kind))
            self.app.action_open_screen(mode)  # type: ignore[attr-defined]
            return
        subject = self._to_decide()
        if subject is not None:
            draft = self._session.draft(subject[1])
            self._amend(subject, Draft(None if draft.kind == kind else kind, draft.note))

    def _amend(self, subject: tuple[int, int], draft: Draft) -> None:
        decided = self._session.amend(*subject, draft)
        if decided is not None:
            self.commit(decided)
        self._show_decision()

    def action_note(self) -> None:
        """Write a note for the decision."""
        subject = self._to_decide()
        if subject is None:
            return
        draft = self._session.draft(subject[1])

        def noted(note: str | None) -> None:
            if note is not None:
                self._amend(subject, Draft(self._session.draft(subject[1]).kind, note))

        self.app.push_screen(LineDialog("Note on this reflection", draft.note), noted)

    def action_undo(self) -> None:
        """Undo the last decision made on this screen and return to its reflection."""
        undone = self._session.undo()
        if undone is None:
            self.notify("Nothing to undo in this session; decide again to change a decision.", markup=False)
            return
        undo, decided = undone
        self.commit(decided)
        self._want_card(undo.trajectory_id)

    def action_next(self) -> None:
        """Show the next reflection without a decision."""
        item = self._session.go_next()
        if item is not None:
            self._want_card(item.trajectory_id)

    def action_previous(self) -> None:
        """Show the previous reflection of the sample, decided or not."""
        item = self._session.go_back()
        if item is not None:
            self._want_card(item.trajectory_id)

    def action_sibling(self, by: int) -> None:
        """Show another reflection on the same attempt."""
        detail = self.query_one(ReviewCard).detail
        if detail is not None and detail.row.id in detail.siblings:
            place = detail.siblings.index(detail.row.id) + by
            if 0 <= place < len(detail.siblings):
                self._want_card(detail.siblings[place])

    def action_sample(self) -> None:
        """Choose the size and the seed of the sample."""

        def chosen(text: str | None) -> None:
            if text is None:
                return
            numbers = sample_numbers(text)
            if numbers is None:
                words = "Type a number of reflections and, optionally, a seed: 200 7"
                self.notify(words, severity="warning", markup=False)
                return
            self._target, self._seed = numbers[0], self._seed if numbers[1] is None else numbers[1]
            self.read_iteration()

        question = "Sample size and seed"
        self.app.push_screen(LineDialog(question, f"{self._target} {self._seed}", "200 0"), chosen)

    def action_order(self) -> None:
        """Review the sample by lift: highest first, lowest first, then in the order of the sample again."""
        if self._session.order is None and not self._session.has_lifts:
            self.notify(NO_LIFTS, markup=False)
            return
        item = self._session.reorder(ORDERS[self._session.order])
        if item is not None:
            self._want_card(item.trajectory_id)
        self.show_status()

    def show_status(self) -> None:
        """Show the progress of the spot-check and its results so far."""
        session = self._session
        sample = (session.estimate, len(session.queue.items), self._seed)
        lines = status_lines(self.iteration_words, *sample, self.unsaved_words, self.size.width, biased=session.biased)
        self.query_one(ReviewStatus).show_lines(lines)

    def _show_decision(self) -> None:
        subject = self._subject()
        if subject is None:
            return
        review, draft = self._session.review(subject[1]), self._session.draft(subject[1])
        place = place_words(self._session.queue, self._session.order, subject[0])
        self.query_one("#review-kinds", LinePanel).show_lines([kinds_line(draft.kind)])
        self.query_one("#review-decision", LinePanel).show_lines([decision_line(review, draft, place, self._early)])

    def on_screen_suspend(self) -> None:
        """Discard an unfinished `g` prefix, so that it has no effect later."""
        self._going = False

    def action_go(self) -> None:
        """Start the prefix after which a number key switches the screen."""
        self._going = True
        self.query_one("#review-decision", LinePanel).show_lines(
            [display.line((" go to screen: 1–8 ", "bold reverse $accent"))]
        )

    def action_scroll_texts(self, direction: int) -> None:
        """Scroll texts that do not fit."""
        self.query_one(ReviewCard).scroll_texts(3 * direction)

    def action_part(self, by: int) -> None:
        """Show another part of long texts."""
        self.query_one(ReviewCard).turn_part(by)

    def action_prompt(self) -> None:
        """Show the prompts exactly as sent."""
        detail = self.query_one(ReviewCard).detail
        if detail is not None:
            self.app.push_screen(PromptDialog(self.workspace, detail))

    def action_copy(self) -> None:
        """Copy a text to the clipboard."""
        detail = self.query_one(ReviewCard).detail
        if detail is not None:
            self.app.push_screen(CopyDialog(texts_of(detail)))

    def action_open(self) -> None:
        """Open the reflection in Trajectories."""
        detail = self.query_one(ReviewCard).detail
        if detail is not None:
            self.post_message(TrajectoryWanted(detail.row.id))

    def action_pairs(self) -> None:
        """Compare pairs of reflections for Dpref."""
        from reflectevo_tui.screens.pairs import PairsScreen

        if self.iteration is not None:
            self.app.push_screen(PairsScreen(self.workspace, self.iteration))
