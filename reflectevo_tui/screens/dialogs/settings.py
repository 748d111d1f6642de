"""Dialog that edits the settings of the remaining stages, validated while they are typed. Closes with the changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from reflectevo_tui.state import settings_form
from reflectevo_tui.state.settings_form import Checked
from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display
from reflectevo_tui.widgets.setting_field import SettingField
from store.records import JsonObject
from store.settings import RunSettings


class SettingsDialog(Dialog[JsonObject | None]):
    """One row per setting. `ctrl+s` submits the changes; the engine validates them again and reports the outcome.

    Args:
        settings: Current settings of the iteration.
        keys: Dotted keys of the settings to show.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "take", "apply"),
        Binding("tab", "app.focus_next", "next setting"),
        Binding("escape", "leave", "cancel"),
    ]

    def __init__(self, settings: JsonObject, keys: Sequence[str]) -> None:
        super().__init__()
        self._before = RunSettings.model_validate(settings)
        self._values: dict[str, Any] = self._before.model_dump(mode="json")
        self._fields = settings_form.form_fields(keys)
        self._keys = tuple(field.key for field in self._fields)
        self._checked = Checked(self._before, {}, ())

    def compose(self) -> ComposeResult:
        """Compose title, rows, help, validation result and keys."""
        with Vertical(classes="dialog dialog-settings"):
            yield Static(display.line(("Settings of the stages ahead", "bold")), markup=False)
            with VerticalScroll(id="settings-rows", can_focus=False):
                for field in self._fields:
                    value = settings_form.value_at(self._values, field.key)
                    yield SettingField(field, "" if value is None else value)
            yield Static(id="settings-help", markup=False)
            yield Static(
                display.line(
                    ("^s", "bold $accent"),
                    " apply   ",
                    ("tab", "bold $accent"),
                    " next setting   ",
                    ("esc", "bold $accent"),
                    " cancel",
                ),
                classes="dialog-keys",
                markup=False,
            )

    @on(SettingField.Changed)
    def _changed(self, message: SettingField.Changed) -> None:
        self._values = settings_form.with_value(self._values, message.key, message.value)
        self._check()

    @on(SettingField.Entered)
    def _entered(self, message: SettingField.Entered) -> None:
        wrong = self._checked.wrong.get(message.field.key)
        words = (f"  ✗ {wrong}", "bold $error") if wrong else (f"  {message.field.help}", "$quiet")
        self.query_one("#settings-help", Static).update(display.line((message.field.key, "bold"), words))

    def _check(self) -> None:
        self._checked = settings_form.check(self._values, self._keys)
        for row in self.query(SettingField):
            row.show_wrong(self._checked.wrong.get(row.field.key))
        if self._checked.others:
            self.query_one("#settings-help", Static).update(
                display.line((f"✗ {self._checked.others[0]}", "bold $error"))
            )

    def action_take(self) -> None:
        """Close with the changed settings, if they are valid."""
        # A key binding may be handled before the change message of the last keystrokes.
        for row in self.query(SettingField):
            self._values = settings_form.with_value(self._values, row.field.key, row.value)
        self._check()
        if self._checked.settings is None:
            self.notify("These settings are not valid; see the ✗ next to the fields.", severity="warning", markup=False)
            return
        self.dismiss(settings_form.changed_sections(self._before, self._checked.settings))

    def action_leave(self) -> None:
        """Close without a change."""
        self.dismiss(None)
