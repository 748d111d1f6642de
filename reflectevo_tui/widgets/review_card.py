"""The trajectory under review: question, reflection, and attempt and correction with the changes between them.

Attempt and correction are shown side by side where they fit; on a small terminal they are merged into one text with
the changes marked. `[` and `]` page through texts that are too long for one view.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.text.lift_words import lift_parts
from reflectevo_tui.text.word_diff import WordChanges
from reflectevo_tui.widgets.trajectory_detail import VERDICTS, change_content
from store.records import StoredAttempt, StoredQuestion
from store.rollouts.trajectory_detail import TrajectoryDetail

TEXT_ROWS = 300
"""Maximum number of rows of one text; longer texts are split into parts."""


def question_content(question: StoredQuestion, part: int) -> Content:
    """Format the question and its options."""
    shown = display.portion(question.text, part, TEXT_ROWS)
    options = [
        display.line((f"{chr(ord('A') + place)} ", "bold"), display.one_line(option)[:400])
        for place, option in enumerate(question.options)
    ]
    return display.stacked([shown.content, *options])


def question_title(question: StoredQuestion) -> Content:
    """Format a title such as `Question 4,871 · logiqa · logical reasoning · answer B`."""
    return display.line(
        ("Question ", "bold"),
        (formatting.count(question.id), "bold"),
        f" · {question.task} · {question.domain} · answer ",
        (display.one_line(question.reference)[:60], "bold"),
    )


def attempt_title(name: str, attempt: StoredAttempt) -> Content:
    """Format a title such as `Attempt 1 · A · ✗ incorrect`."""
    words, style = VERDICTS[attempt.verdict]
    answer = "no answer" if attempt.answer is None else display.one_line(attempt.answer)[:40]
    return display.line((name, "bold"), " · ", (answer, "bold"), " · ", (words, style))


def one_side(changes: WordChanges, without: str) -> Content:
    """Render the changes as one of the two texts, without the words that only the other one contains."""
    kept = tuple(change for change in changes.changes if change.kind != without)
    return change_content(WordChanges(kept, changes.cut))


def part_hint(part: int, of: int) -> list[Part]:
    """Return a hint on the other parts of a long text; empty for a short one."""
    return [(f"  part {part + 1} of {of} ", "$warning"), ("[ ]", "bold $accent")] if of > 1 else []


class ReviewCard(Vertical):
    """Shows one trajectory, or a message if there is none."""

    def __init__(self) -> None:
        super().__init__(id="review-card")
        self._shown: tuple[TrajectoryDetail, WordChanges | None] | None = None
        self._part = 0

    def compose(self) -> ComposeResult:
        """Compose the three panels."""
        with VerticalScroll(id="review-question", classes="panel", can_focus=False):
            yield Static(id="review-question-text", markup=False)
        with VerticalScroll(id="review-reflection", classes="panel", can_focus=False):
            yield Static(id="review-reflection-text", markup=False)
        with Horizontal(id="review-pair"):
            with VerticalScroll(id="review-attempt", classes="panel", can_focus=False):
                yield Static(id="review-attempt-text", markup=False)
            with VerticalScroll(id="review-correction", classes="panel", can_focus=False):
                yield Static(id="review-correction-text", markup=False)

    @property
    def detail(self) -> TrajectoryDetail | None:
        """The displayed trajectory."""
        return self._shown[0] if self._shown else None

    def _put(self, name: str, title: Content, body: Content) -> None:
        panel = self.query_one(f"#review-{name}")
        panel.display = True
        panel.border_title = title
        self.query_one(f"#review-{name}-text", Static).update(body)

    def say(self, words: str) -> None:
        """Show a message instead of a trajectory."""
        self._shown = None
        self._put("question", display.line("Review"), display.text(words, "$quiet"))
        for name in ("reflection", "pair"):
            self.query_one(f"#review-{name}").display = False

    def show_detail(self, detail: TrajectoryDetail, changes: WordChanges | None) -> None:
        """Show a trajectory, scrolled to the top."""
        self._shown, self._part = (detail, changes), 0
        self._draw()
        for panel in self.query(VerticalScroll):
            panel.scroll_home(animate=False, immediate=True)

    def on_resize(self) -> None:
        """Choose the arrangement for the new width."""
        if self._shown is not None:
            self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        if self._shown is None:
            return
        detail, changes = self._shown
        self.query_one("#review-pair").display = True
        self._put("question", question_title(detail.question), question_content(detail.question, self._part))
        if detail.reflection is not None:
            self._draw_reflection(detail)
        self._draw_pair(detail, changes)

    def _draw_reflection(self, detail: TrajectoryDetail) -> None:
        reflection = detail.reflection
        assert reflection is not None
        shown = display.portion(reflection.text, self._part, TEXT_ROWS)
        place = detail.siblings.index(detail.row.id) + 1 if detail.row.id in detail.siblings else 1
        parts: list[Part] = [
            ("Reflection", "bold"),
            f" · instruction {reflection.instruction} · sibling {place} of {len(detail.siblings)}",
            *part_hint(shown.number, shown.of),
        ]
        if reflection.flags:
            parts.append((f" · flags {reflection.flags}", "$warning"))
        lift = [] if detail.lift is None else [display.line(*lift_parts(detail.lift))]
        self._put("reflection", display.line(*parts), display.stacked([*lift, shown.content]))

    def _draw_pair(self, detail: TrajectoryDetail, changes: WordChanges | None) -> None:
        correction = detail.correction
        attempt = attempt_title("Attempt 1", detail.attempt)
        if correction is None:
            self._put("attempt", attempt, self._raw([detail.attempt.reasoning]))
            self._put("correction", display.line(("Correction", "bold"), " · none"), display.line())
            return
        together = self.screen.has_class("-narrow")
        title = attempt_title("Correction", correction)
        if changes is None or changes.cut:
            # Too long for a word-level comparison: both texts are shown unchanged.
            self._put("attempt", attempt, self._raw([detail.attempt.reasoning]))
            self._put("correction", title, self._raw([correction.reasoning]))
        elif together:
            self._put("attempt", display.joined([attempt, display.line(" → "), title]), change_content(changes))
            self.query_one("#review-correction").display = False
        else:
            self._put("attempt", attempt, one_side(changes, "added"))
            self._put("correction", title, one_side(changes, "removed"))

    def _raw(self, texts: Iterable[str]) -> Content:
        lines: list[Content] = []
        for text in texts:
            shown = display.portion(text, self._part, TEXT_ROWS)
            lines.append(shown.content)
            if shown.of > 1:
                lines.append(display.line(*part_hint(shown.number, shown.of)))
        return display.stacked(lines)

    def scroll_texts(self, rows: int) -> None:
        """Scroll texts that do not fit: attempt and correction in sync, with the question and the reflection."""
        for panel in self.query(VerticalScroll):
            panel.scroll_relative(y=rows, animate=False, immediate=True)

    def turn_part(self, by: int) -> None:
        """Show another part of texts that are too long for one view."""
        if self._shown is None:
            return
        detail = self._shown[0]
        texts = [detail.question.text, detail.attempt.reasoning]
        texts += [detail.reflection.text] if detail.reflection else []
        texts += [detail.correction.reasoning] if detail.correction else []
        most = max(display.portion(text, 0, TEXT_ROWS).of for text in texts)
        self._part = min(max(self._part + by, 0), most - 1)
        self._draw()
