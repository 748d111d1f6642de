"""Dialog that shows a training example exactly as the model sees it: all tokens, and which of them enter the loss.

The tokens are provided by the engine, which is the only process with a tokenizer. Tokens that enter the loss are
coloured and enclosed in ⟦ and ⟧, so that the mask is readable without colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from reflectevo_tui.engine_client.process import ask_engine
from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display, formatting
from store.errors import OperatorError
from store.workspace import Workspace

PART_TOKENS = 2_000
"""Maximum number of tokens laid out at a time; longer examples are split into parts."""

TRAINED, PROMPT, EDGE = "bold $success", "$quiet", "bold $warning"


def token_content(tokens: Sequence[Mapping[str, Any]], *, edges: bool, part: int) -> Content:
    """Format a part of the tokens: line breaks as ⏎, trained spans in ⟦ ⟧, and with `edges` a · between tokens."""
    first = part * PART_TOKENS
    pieces: list[Content] = []
    inside = first > 0 and bool(tokens[first - 1].get("loss"))
    for token in tokens[first : first + PART_TOKENS]:
        trained = bool(token.get("loss"))
        if trained != inside:
            pieces.append(display.line(("⟦" if trained else "⟧", EDGE)))
            inside = trained
        elif edges and pieces:
            pieces.append(display.line(("·", "$rule")))
        text = str(token.get("text", "")).replace("\r\n", "\n").replace("\n", "⏎\n")
        pieces.append(display.text(text, TRAINED if trained else PROMPT))
    if inside and first + PART_TOKENS >= len(tokens):
        pieces.append(display.line(("⟧", EDGE)))
    return display.joined(pieces)


def size_line(answer: Mapping[str, Any], side: Mapping[str, Any]) -> Content:
    """Format the length of the example and whether it fits the maximum."""
    tokens = side.get("tokens", ())
    trained = sum(bool(token.get("loss")) for token in tokens)
    fits = bool(answer.get("fits"))
    words = ("✓ fits", "bold $success") if fits else ("✗ left out: " + str(answer.get("reason", "")), "bold $error")
    longest = f" of {formatting.count(int(answer['max_length']))}" if answer.get("max_length") else ""
    return display.line(
        (f"{formatting.count(len(tokens))}{longest} tokens", "bold"),
        f" · {formatting.count(trained)} trained on ",
        (f"⟦ {formatting.percent(trained / len(tokens) if tokens else None, 0)} ⟧", TRAINED),
        "  ",
        words,
    )


class ExampleDialog(Dialog[None]):
    """`tab` shows the other side of a pair, `b` the token boundaries."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,h,l", "side", "other side of a pair"),
        Binding("b", "edges", "borders of the tokens"),
        Binding("left_square_bracket", "part(-1)", "earlier part"),
        Binding("right_square_bracket", "part(1)", "later part"),
        Binding("escape,q,enter", "close", "close"),
    ]

    class ExampleRead(Message):
        """Posted with the response of the engine, or with the reason for its absence."""

        def __init__(self, answer: Mapping[str, Any] | None, reason: str) -> None:
            super().__init__()
            self.answer = answer
            self.reason = reason

    def __init__(self, workspace: Workspace, curated_id: int, title: str) -> None:
        super().__init__()
        self._workspace = workspace
        self._curated_id = curated_id
        self._title_words = title
        self._answer: Mapping[str, Any] | None = None
        self._side = self._part = 0
        self._edges = False

    def compose(self) -> ComposeResult:
        """Compose title, size, tokens and keys."""
        with Vertical(classes="dialog dialog-large"):
            yield Static(display.line((self._title_words, "bold")), id="example-title", markup=False)
            yield Static(id="example-size", markup=False)
            with VerticalScroll(id="example-body"):
                yield Static(
                    display.line(("asking the engine for the tokens …", "$quiet")), id="example-text", markup=False
                )
            yield Static(
                display.line(
                    ("tab", "bold $accent"),
                    " other side   ",
                    ("b", "bold $accent"),
                    " token borders   ",
                    ("[ ]", "bold $accent"),
                    " parts   ",
                    ("esc", "bold $accent"),
                    " close",
                ),
                classes="dialog-keys",
                markup=False,
            )

    def on_mount(self) -> None:
        """Focus the text and request the tokens from the engine."""
        self.query_one("#example-body").focus()
        self._ask()

    @work(thread=True, exclusive=True)
    def _ask(self) -> None:
        try:
            answer = ask_engine("example", "-w", str(self._workspace.root), "--curated", str(self._curated_id))
        except OperatorError as error:
            self.post_message(self.ExampleRead(None, str(error)))
            return
        if isinstance(answer, dict) and isinstance(answer.get("sides"), list) and answer["sides"]:
            self.post_message(self.ExampleRead(answer, ""))
        else:
            self.post_message(self.ExampleRead(None, "the engine answered with something that is not an example"))

    @on(ExampleRead)
    def _arrived(self, message: ExampleRead) -> None:
        self._answer = message.answer
        if message.answer is None:
            words = f"✗ The tokens can't be shown: {message.reason}\n\nThe trajectory shows the texts: esc, then o."
            self.query_one("#example-text", Static).update(display.text(words, "$error"))
        else:
            self._draw()

    def _draw(self) -> None:
        if self._answer is None:
            return
        sides = self._answer["sides"]
        side = sides[self._side % len(sides)]
        tokens = side.get("tokens", ())
        parts = max(-(-len(tokens) // PART_TOKENS), 1)
        self._part = min(self._part, parts - 1)
        names = " · ".join(f"[{one.get('name', '?')}]" if one is side else str(one.get("name", "?")) for one in sides)
        where = f" · part {self._part + 1} of {parts}" if parts > 1 else ""
        title = display.line((self._title_words, "bold"), "  ", (names, "bold $primary"), (where, "$warning"))
        self.query_one("#example-title", Static).update(title)
        self.query_one("#example-size", Static).update(size_line(self._answer, side))
        content = token_content(tokens, edges=self._edges, part=self._part)
        self.query_one("#example-text", Static).update(content)

    def action_side(self) -> None:
        """Show the other side of a pair."""
        self._side += 1
        self._part = 0
        self._draw()

    def action_edges(self) -> None:
        """Show or hide the token boundaries."""
        self._edges = not self._edges
        self._draw()

    def action_part(self, by: int) -> None:
        """Show another part of a long example."""
        self._part = max(self._part + by, 0)
        self._draw()

    def action_close(self) -> None:
        """Close the dialog."""
        self.dismiss(None)
