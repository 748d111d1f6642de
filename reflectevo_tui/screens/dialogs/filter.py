"""Dialog that selects one filter of the trajectory list: first the field, then the value."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from reflectevo_tui.state.trajectory_filters import REVIEW_WORDS
from reflectevo_tui.state.trajectory_reader import Choices
from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display
from reflectevo_tui.text.lift_words import lift_filter_label

FIELDS = (
    "transition",
    "task",
    "instruction",
    "iteration",
    "split",
    "review",
    "policy",
    "domain",
    "flag",
    "lift",
    "saved",
)
"""The fields that can be filtered, most used first; `saved` applies a filter saved under a name."""

FilterChoice = tuple[str, str | None]
"""Name of a filter and its value; None removes the filter."""


class FilterDialog(Dialog[FilterChoice | None]):
    """Closes with a choice, or with None for no change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "cancel"),
        Binding("right,l", "values", "to the values"),
        Binding("left,h", "fields", "back to the fields"),
    ]

    def __init__(self, choices: Choices, active: dict[str, str]) -> None:
        super().__init__()
        self._choices = choices
        self._active = active

    def compose(self) -> ComposeResult:
        """Compose the fields on the left and the values on the right."""
        with Vertical(classes="dialog dialog-large", id="filter-dialog"):
            yield Static(display.line(("Filter trajectories", "bold")), markup=False)
            with Horizontal(id="filter-lists"):
                yield OptionList(*(self._field(name) for name in FIELDS), id="filter-fields", markup=False)
                yield OptionList(id="filter-values", markup=False)
            yield Static(
                display.line(
                    ("⏎", "bold $accent"),
                    " choose   ",
                    ("← →", "bold $accent"),
                    " switch lists   ",
                    ("esc", "bold $accent"),
                    " cancel",
                ),
                classes="dialog-keys",
                markup=False,
            )

    def _field(self, name: str) -> Option:
        current = self._active.get(name)
        return Option(
            display.line(f"{name:<12}", (self._label(name, current) if current else "any", "$quiet")), id=name
        )

    def _label(self, name: str, value: str) -> str:
        if name == "review":
            return REVIEW_WORDS.get(value, value)
        if name == "lift":
            return lift_filter_label(value)
        return dict(self._choices.get(name, [])).get(value, value)

    def on_mount(self) -> None:
        """Focus the list of fields."""
        self.query_one("#filter-fields").focus()

    @on(OptionList.OptionHighlighted, "#filter-fields")
    def _show_values(self, event: OptionList.OptionHighlighted) -> None:
        values = self.query_one("#filter-values", OptionList)
        values.clear_options()
        name = event.option.id or ""
        values.add_option(Option(display.line("  any")))
        for value, _ in self._choices.get(name, []):
            mark = "● " if self._active.get(name) == value else "  "
            values.add_option(Option(display.line(mark, self._label(name, value))))
        values.highlighted = 0

    @on(OptionList.OptionSelected, "#filter-fields")
    def action_values(self) -> None:
        """Move the focus to the values of the field."""
        self.query_one("#filter-values").focus()

    def action_fields(self) -> None:
        """Return the focus to the fields."""
        self.query_one("#filter-fields").focus()

    @on(OptionList.OptionSelected, "#filter-values")
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        fields = self.query_one("#filter-fields", OptionList)
        name = FIELDS[fields.highlighted or 0]
        values = self._choices.get(name, [])
        self.dismiss((name, None if event.option_index == 0 else values[event.option_index - 1][0]))

    def action_leave(self) -> None:
        """Close without a change."""
        self.dismiss(None)
