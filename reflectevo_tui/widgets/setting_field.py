"""One setting in a form: its name, its value, and its help or validation error."""

from __future__ import annotations

from typing import Any

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Select, Static

from reflectevo_tui.state.settings_form import FormField, read_text, shown_text
from reflectevo_tui.text import display


class SettingField(Horizontal):
    """One row of the form."""

    class Changed(Message):
        """Posted when the operator changes the value."""

        def __init__(self, key: str, value: Any) -> None:
            super().__init__()
            self.key = key
            self.value = value

    class Entered(Message):
        """Posted when this field receives the focus."""

        def __init__(self, field: FormField) -> None:
            super().__init__()
            self.field = field

    def __init__(self, field: FormField, value: Any) -> None:
        super().__init__(classes="setting")
        self.field = field
        self._initial = value
        self._selected: Any = None

    def compose(self) -> ComposeResult:
        """Compose name, value and help text."""
        yield Static(display.line(self.field.key), classes="setting-name", markup=False)
        if self.field.choices:
            options = [(display.line(choice), choice) for choice in self.field.choices]
            value = self._initial if self._initial in self.field.choices else self.field.choices[0]
            self._selected = value
            yield Select(options, value=value, allow_blank=False, compact=True)
        else:
            yield Input(shown_text(self._initial, self.field.as_json), compact=True)
        yield Static(display.line((self.field.help, "$quiet")), classes="setting-words", markup=False)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(self.field.key, self.value))

    @on(Select.Changed)
    def _chosen(self, event: Select.Changed) -> None:
        event.stop()
        # A selection also reports its initial value when it appears; the operator has changed nothing by then.
        if event.value != self._selected:
            self._selected = event.value
            self.post_message(self.Changed(self.field.key, self.value))

    @on(events.DescendantFocus)
    def _entered(self) -> None:
        self.post_message(self.Entered(self.field))

    @property
    def value(self) -> Any:
        """The current value of the field."""
        if self.field.choices:
            return self.query_one(Select).value
        return read_text(self.field, self.query_one(Input).value)

    def show_wrong(self, reason: str | None) -> None:
        """Show the validation error, or the help if there is none."""
        words = self.query_one(".setting-words", Static)
        shown = display.line((f"✗ {reason}", "bold $error")) if reason else display.line((self.field.help, "$quiet"))
        if not isinstance(words.content, type(shown)) or not words.content.is_same(shown):
            words.update(shown)
