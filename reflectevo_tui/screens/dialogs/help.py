"""Help dialog: the keys of the current screen, the global keys, and the glossary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display
from reflectevo_tui.text.glossary import GLOSSARY, Term
from reflectevo_tui.widgets.key_hints import key_name

GROUP_WIDTH = 14


def key_lines(title: str, bindings: Iterable[Binding]) -> list[Content]:
    """Format a group: its title, then one key per line."""
    lines = [display.line((title, "bold $primary"))]
    for binding in bindings:
        keys = [key_name(Binding(key, "", "")) for key in binding.key.split(",")]
        lines.append(display.line((f"  {'  '.join(keys):<{GROUP_WIDTH}}", "bold $accent"), f" {binding.description}"))
    return [*lines, display.line()]


def term_line(term: Term) -> Content:
    """Format a glossary entry: the term and its meaning."""
    return display.line((f"  {term.name}", "bold $accent"), f"  {term.meaning}")


class HelpDialog(Dialog[None]):
    """Lists the keys by group, then the terms of the glossary. Any of its closing keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "close", "close"),
        Binding("t", "terms", "terms"),
    ]

    def __init__(self, groups: list[tuple[str, list[Binding]]]) -> None:
        super().__init__()
        self._groups = groups

    def compose(self) -> ComposeResult:
        """Compose one scrollable list: keys, then terms."""
        keys = [one for title, bindings in self._groups for one in key_lines(title, bindings)]
        terms = [display.line(("Terms", "bold $primary")), *(term_line(term) for term in GLOSSARY)]
        with Vertical(classes="dialog dialog-large"):
            with VerticalScroll(id="help-body"):
                yield Static(display.stacked(keys), markup=False)
                yield Static(display.stacked(terms), id="help-terms", markup=False)
            yield Static(
                display.line(("esc", "bold $accent"), " close  ", ("t", "bold $accent"), " terms"),
                classes="dialog-keys",
                markup=False,
            )

    def on_mount(self) -> None:
        """Focus the list, so that the arrow keys scroll it."""
        self.query_one("#help-body").focus()

    def action_close(self) -> None:
        """Close the dialog."""
        self.dismiss(None)

    def action_terms(self) -> None:
        """Scroll to the glossary."""
        self.query_one("#help-terms").scroll_visible(animate=False, top=True)
