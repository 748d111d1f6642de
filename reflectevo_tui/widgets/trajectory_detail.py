"""A complete trajectory: question, first attempt, reflection, correction, changes, and how the texts were generated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.text.lift_words import lift_parts
from reflectevo_tui.text.thought_lines import thought_lines
from reflectevo_tui.text.word_diff import WordChanges
from store.records import StoredAttempt, StoredReflection, Verdict
from store.rollouts.thoughts import Thought
from store.rollouts.trajectory_detail import TrajectoryDetail

TEXT_ROWS = 300
"""Maximum number of rows of one text; longer texts are split into parts."""

VERDICTS: Mapping[Verdict, tuple[str, str]] = {
    "correct": ("✓ correct", "bold $success"),
    "incorrect": ("✗ incorrect", "bold $error"),
    "unverified": ("? unverified", "bold $warning"),
}

_CHANGES = {"same": ("", "", ""), "removed": ("[-", "-]", "$error"), "added": ("{+", "+}", "$success")}


def _heading(*parts: Part) -> Content:
    return display.line(("── ", "$quiet"), *parts)


def _body(text: str, part: int) -> list[Content]:
    """Return one part of a text, with a hint on the other parts."""
    shown = display.portion(text, part, TEXT_ROWS)
    lines = [shown.content]
    if shown.of > 1:
        words = f"part {shown.number + 1} of {shown.of}   "
        lines.append(display.line((words, "$warning"), ("[ ]", "bold $accent"), (" earlier / later part", "$quiet")))
    return lines


def parts_of(detail: TrajectoryDetail) -> int:
    """Return the number of parts of the longest text."""
    texts = [detail.question.text, detail.attempt.reasoning]
    texts += [detail.reflection.text] if detail.reflection else []
    texts += [detail.correction.reasoning] if detail.correction else []
    return max(display.portion(text, 0, TEXT_ROWS).of for text in texts)


def _attempt(
    title: str, attempt: StoredAttempt, part: int, thought: Thought | None = None, unfolded: bool = False
) -> list[Content]:
    words, style = VERDICTS[attempt.verdict]
    answer = "no answer found" if attempt.answer is None else f"answer {attempt.answer}"
    lines = [_heading((title, "bold"), " · ", (display.one_line(answer)[:80], "bold"), " · ", (words, style))]
    if attempt.detail:
        lines.append(display.line((display.one_line(attempt.detail)[:200], "$quiet")))
    if attempt.error:
        lines.append(display.line((f"✗ {display.one_line(attempt.error)[:400]}", "$error")))
    return [*lines, *thought_lines(thought, unfolded), *_body(attempt.reasoning, part), display.line()]


def question_lines(detail: TrajectoryDetail, part: int) -> list[Content]:
    """Format question, options and reference answer."""
    question = detail.question
    lines = [
        _heading(
            (f"Question {formatting.count(question.id)}", "bold"),
            f" · {question.task} · {question.domain} · {question.split}",
        ),
        *_body(question.text, part),
    ]
    for position, option in enumerate(question.options):
        lines.append(display.line(f"  {chr(ord('A') + position)}. {display.one_line(option)[:400]}"))
    lines.append(display.line(("reference answer ", "$quiet"), (display.one_line(question.reference)[:400], "bold")))
    return [*lines, display.line()]


def reflection_lines(detail: TrajectoryDetail, part: int, unfolded: bool = False) -> list[Content]:
    """Format the reflection and its position among the reflections on the same attempt."""
    reflection = detail.reflection
    if reflection is None:
        return [_heading(("Reflection", "bold"), " · none: the attempt was not reflected on"), display.line()]
    siblings = detail.siblings
    place = siblings.index(detail.row.id) + 1 if detail.row.id in siblings else 1
    parts: list[Part] = [
        ("Reflection", "bold"),
        f" · instruction {reflection.instruction} · sample {reflection.sample + 1}",
        f" · sibling {place} of {len(siblings)}",
    ]
    if len(siblings) > 1:
        parts += ["  ", ("h l", "bold $accent"), (" flip", "$quiet")]
    lines = [_heading(*parts)]
    if detail.lift is not None:
        lines.append(display.line(*lift_parts(detail.lift)))
    if reflection.flags:
        lines.append(display.line((f"flags: {reflection.flags}", "$warning")))
    if reflection.error:
        lines.append(display.line((f"✗ {display.one_line(reflection.error)[:400]}", "$error")))
    lines += thought_lines(detail.reflection_thought, unfolded)
    return [*lines, *_body(reflection.text, part), display.line()]


def change_content(changes: WordChanges) -> Content:
    """Mark removed words as [-…-] and added words as {+…+}, which is readable without colour."""
    pieces: list[Content] = []
    for position, change in enumerate(changes.changes):
        before, after, style = _CHANGES[change.kind]
        pieces.append(display.text(f"{before}{change.text}{after}", style))
        if position + 1 < len(changes.changes):
            pieces.append(display.text("" if change.text.rstrip(" \t").endswith("\n") else " "))
    return display.joined(pieces)


def correction_lines(
    detail: TrajectoryDetail, changes: WordChanges | None, part: int, unfolded: bool = False
) -> list[Content]:
    """Format the correction and its changes."""
    if detail.correction is None:
        return [_heading(("Correction", "bold"), " · none"), display.line()]
    lines = _attempt("Correction", detail.correction, part, detail.correction_thought, unfolded)
    lines.append(
        _heading(
            ("Changes", "bold"),
            " from attempt 1 to the correction  ",
            ("[-gone-]", "$error"),
            " ",
            ("{+new+}", "$success"),
        )
    )
    if changes is not None:
        if len(changes.changes) == 1 and changes.changes[0].kind == "same":
            lines.append(display.line(("no difference", "$quiet")))
        else:
            lines.append(change_content(changes))
        if changes.cut:
            lines.append(display.line(("only the beginning of these long texts is compared", "$warning")))
    return [*lines, display.line()]


def _origin(name: str, made: StoredAttempt | StoredReflection) -> Content:
    seed = "–" if made.seed is None else str(made.seed)
    return display.line(
        f"  {name:<11}",
        f"{formatting.count(made.prompt_tokens):>6} → {formatting.count(made.completion_tokens):>5} tokens",
        f"  {made.finish_reason or '–':<7} seed {seed:<10} {made.latency:5.1f} s",
        (f"  {made.prompt_version} {made.prompt_hash[:7]}", "$quiet"),
    )


def origin_lines(detail: TrajectoryDetail) -> list[Content]:
    """Format how the texts were generated: policy, tokens, seeds, prompt versions."""
    iteration = f" · iteration {detail.row.iteration}" if detail.row.iteration is not None else ""
    review = f" · review: {detail.row.review}" if detail.row.review else ""
    lines = [
        _heading(
            ("Made by", "bold"),
            f" policy {detail.policy or '–'}{iteration}{review}  ",
            ("v", "bold $accent"),
            (" prompts as sent", "$quiet"),
        ),
        _origin("attempt 1", detail.attempt),
    ]
    lines += [_origin("reflection", detail.reflection)] if detail.reflection else []
    lines += [_origin("correction", detail.correction)] if detail.correction else []
    return lines


class TrajectoryDetailPane(VerticalScroll, can_focus=True):
    """Two columns where they fit, one otherwise. `[` and `]` page through long texts."""

    BINDING_GROUP_TITLE = "In the detail"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "scroll up", show=False),
        Binding("down,j", "scroll_down", "scroll down", show=False),
        Binding("left_square_bracket", "part(-1)", "earlier part of long texts", show=False),
        Binding("right_square_bracket", "part(1)", "later part of long texts", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(id="detail", classes="panel")
        self.border_title = display.line("Detail")
        self._shown: tuple[TrajectoryDetail, WordChanges | None] | None = None
        self._part = 0
        self._unfolded = False

    def compose(self) -> ComposeResult:
        """Compose question, attempt and reflection on the left; correction, changes and origin on the right."""
        with Horizontal(id="detail-columns"):
            yield Static(id="detail-left", markup=False)
            yield Static(id="detail-right", markup=False)

    @property
    def detail(self) -> TrajectoryDetail | None:
        """The displayed trajectory."""
        return self._shown[0] if self._shown else None

    def show_detail(self, detail: TrajectoryDetail, changes: WordChanges | None) -> None:
        """Show a trajectory, scrolled to the top."""
        self._shown, self._part = (detail, changes), 0
        self.border_title = display.line(f"Trajectory {formatting.count(detail.row.id)} · {detail.row.transition}")
        self._draw()
        self.scroll_home(animate=False, immediate=True)

    def show_nothing(self, words: str) -> None:
        """Show a message that explains why there is no trajectory."""
        self._shown = None
        self.border_title = display.line("Detail")
        self.query_one("#detail-left", Static).update(display.text(words, "$quiet"))
        self.query_one("#detail-right", Static).update(display.line())

    def _draw(self) -> None:
        if self._shown is None:
            return
        detail, changes = self._shown
        part, unfolded = self._part, self._unfolded
        left = question_lines(detail, part)
        left += _attempt("Attempt 1", detail.attempt, part, detail.attempt_thought, unfolded)
        left += reflection_lines(detail, part, unfolded)
        right = [*correction_lines(detail, changes, part, unfolded), *origin_lines(detail)]
        self.query_one("#detail-left", Static).update(display.stacked(left))
        self.query_one("#detail-right", Static).update(display.stacked(right))

    def fold_thoughts(self) -> None:
        """Unfold the thoughts of the displayed trajectory, or fold them again."""
        self._unfolded = not self._unfolded
        self._draw()

    def action_part(self, by: int) -> None:
        """Show another part of texts that are too long for one view."""
        if self._shown is None:
            return
        wanted = min(max(self._part + by, 0), parts_of(self._shown[0]) - 1)
        if wanted != self._part:
            self._part = wanted
            self._draw()
