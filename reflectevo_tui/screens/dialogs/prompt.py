"""Dialog that shows a prompt exactly as sent: rendered again by the engine and checked against the stored hash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from reflectevo_tui.engine_client.process import prompt_of
from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display
from store.errors import OperatorError
from store.rollouts.trajectory_detail import TrajectoryDetail
from store.workspace import Workspace

MESSAGE_ROWS = 600


@dataclass(frozen=True, slots=True)
class Subject:
    """A generation whose prompt can be shown: its title, the kind known to the engine, and the row id."""

    title: str
    kind: Literal["attempt", "reflection"]
    row_id: int


def subjects_of(detail: TrajectoryDetail) -> dict[str, Subject]:
    """Return the generations of a trajectory, by the key that shows their prompt."""
    found = {"a": Subject("attempt 1", "attempt", detail.attempt.id)}
    if detail.reflection is not None:
        found["r"] = Subject("reflection", "reflection", detail.reflection.id)
    if detail.correction is not None:
        found["c"] = Subject("correction", "attempt", detail.correction.id)
    return found


def prompt_lines(prompt: dict[str, Any], part: int) -> list[Content]:
    """Format whether the prompt matches the one sent, and its messages with their roles."""
    version = f" (prompt version {prompt.get('version', '?')})"
    if prompt.get("matches"):
        words = (f"✓ identical to what was sent{version}", "bold $success")
    elif not prompt.get("hash"):
        words = ("as recorded in the imported file; it can't be verified", "bold $warning")
    else:
        words = (f"✗ differs from what was sent{version}", "bold $error")
    lines = [display.line(words)]
    for message in prompt.get("messages", ()):
        shown = display.portion(str(message.get("content", "")), part, MESSAGE_ROWS)
        lines += [display.line(), display.line((f"── {message.get('role', '?')}", "bold $primary")), shown.content]
        if shown.of > 1:
            lines.append(
                display.line((f"part {shown.number + 1} of {shown.of}   [ ] earlier / later part", "$warning"))
            )
    return lines


class PromptDialog(Dialog[None]):
    """`a`, `r`, `c` switch between the prompts of attempt, reflection and correction."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "subject('a')", "prompt of attempt 1"),
        Binding("r", "subject('r')", "prompt of the reflection"),
        Binding("c", "subject('c')", "prompt of the correction"),
        Binding("left_square_bracket", "part(-1)", "earlier part"),
        Binding("right_square_bracket", "part(1)", "later part"),
        Binding("escape,q,v", "close", "close"),
    ]

    class PromptRead(Message):
        """Posted with a prompt, or with the reason for its absence."""

        def __init__(self, key: str, prompt: dict[str, Any] | None, reason: str) -> None:
            super().__init__()
            self.key = key
            self.prompt = prompt
            self.reason = reason

    def __init__(self, workspace: Workspace, detail: TrajectoryDetail) -> None:
        super().__init__()
        self._workspace = workspace
        self._subjects = subjects_of(detail)
        self._key = "r" if "r" in self._subjects else "a"
        self._prompt: dict[str, Any] | None = None
        self._part = 0

    def compose(self) -> ComposeResult:
        """Compose title, prompt and keys."""
        keys = [
            part for key, subject in self._subjects.items() for part in ((key, "bold $accent"), f" {subject.title}   ")
        ]
        with Vertical(classes="dialog dialog-large"):
            yield Static(id="prompt-title", markup=False)
            with VerticalScroll(id="prompt-body"):
                yield Static(id="prompt-text", markup=False)
            yield Static(display.line(*keys, ("esc", "bold $accent"), " close"), classes="dialog-keys", markup=False)

    def on_mount(self) -> None:
        """Focus the text and request the first prompt."""
        self.query_one("#prompt-body").focus()
        self.action_subject(self._key)

    def action_subject(self, key: str) -> None:
        """Request the prompt of another generation."""
        if key not in self._subjects:
            return
        self._key, self._prompt, self._part = key, None, 0
        title = f"Prompt of {'' if key == 'a' else 'the '}{self._subjects[key].title}"
        self.query_one("#prompt-title", Static).update(display.line((title, "bold")))
        self.query_one("#prompt-text", Static).update(display.line(("the engine renders the prompt …", "$quiet")))
        self._ask(key)

    @work(thread=True, exclusive=True)
    def _ask(self, key: str) -> None:
        subject = self._subjects[key]
        try:
            self.post_message(self.PromptRead(key, prompt_of(self._workspace, subject.kind, subject.row_id), ""))
        except OperatorError as error:
            self.post_message(self.PromptRead(key, None, str(error)))

    @on(PromptRead)
    def _show(self, message: PromptRead) -> None:
        if message.key != self._key:
            return
        self._prompt = message.prompt
        if message.prompt is None:
            self.query_one("#prompt-text", Static).update(display.text(f"✗ {message.reason}", "$error"))
            return
        self._draw()

    def _draw(self) -> None:
        if self._prompt is not None:
            self.query_one("#prompt-text", Static).update(display.stacked(prompt_lines(self._prompt, self._part)))

    def action_part(self, by: int) -> None:
        """Show another part of messages that are too long for one view."""
        self._part = max(self._part + by, 0)
        self._draw()

    def action_close(self) -> None:
        """Close the dialog."""
        self.dismiss(None)
