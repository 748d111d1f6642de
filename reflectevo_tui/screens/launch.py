"""Launch screen: the settings of the next run or iteration, validated while they are typed, with the estimated cost and
the TOML file that will be run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from reflectevo_tui.engine_client import launch
from reflectevo_tui.screens.base.framed_screen import FramedScreen
from reflectevo_tui.screens.dialogs.confirm import ConfirmDialog
from reflectevo_tui.screens.dialogs.message import MessageDialog
from reflectevo_tui.state import estimate, settings_form
from reflectevo_tui.state.messages import DirectiveIssued, Estimated, SettingsSaved, WorkFailed
from reflectevo_tui.state.settings_form import Checked, FormField
from reflectevo_tui.text import display, estimates
from reflectevo_tui.widgets.setting_field import SettingField
from store.errors import OperatorError, SettingsError
from store.evaluation.number_format import counted
from store.settings import RunSettings
from store.settings.toml_file import dump_settings
from store.workspace import Workspace, write_file

_REST_SECONDS = 0.3
"""Idle time after the last keystroke, in seconds, before the estimate is recomputed."""

_WARNING_SECONDS = 20.0
"""How long, in seconds, the warnings about a started run are shown."""


def task_lines(settings: RunSettings | None, values: dict[str, Any]) -> list[Content]:
    """Format the task mix, which is read-only here: it is edited in the file."""
    lines = [display.line(("Tasks", "bold"), ("  edited in the file", "$quiet"))]
    if settings is not None:
        for task in settings.tasks:
            shown = task.few_shot + len(task.examples)
            shots = f" · {counted(shown, 'worked example')}" if shown else ""
            trained = "measured only" if task.role == "test" else f"{task.train:,} train"
            lines.append(
                display.line(f"  {task.name:<22}", (f"{task.kind} · {trained} · {task.test:,} test{shots}", "$quiet"))
            )
        return lines
    named = [str(task.get("name", "?")) for task in values.get("tasks", []) if isinstance(task, dict)]
    return [*lines, display.line(("  " + ", ".join(named), "$quiet"))]


def verdict_line(checked: Checked) -> Content:
    """Report whether a run with these settings can start."""
    if checked.settings is not None:
        return display.line(
            ("✓ ready", "bold $success"),
            "   ",
            ("^r", "bold $accent"),
            " save and run   ",
            ("^s", "bold $accent"),
            " save",
        )
    count = len(checked.wrong) + len(checked.others)
    first = next(iter(checked.others), "")
    return display.line((f"✗ {counted(count, 'error')}", "bold $error"), f"   {first}" if first else "")


def code_question(models: Sequence[str]) -> str:
    """Return the confirmation question for models that run custom code."""
    return (
        f"Run the code of {', '.join(models)}?\n\n"
        "The settings trust Python code that comes with the files of this model (trust_remote_code). It runs on this "
        "machine as you: it can read, change and send whatever you can. Confirm it only if you have read that code."
    )


class LaunchScreen(FramedScreen):
    """The form on the left, the estimate and the TOML on the right (`t` shows them on a small terminal)."""

    mode: ClassVar[str] = "launch"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "run", "save and run"),
        Binding("ctrl+s", "save", "save"),
        Binding("tab", "app.focus_next", "next field"),
        Binding("escape", "leave_field", "leave field"),
        Binding("t", "toml", "TOML"),
        Binding("ctrl+l", "reload", "reload"),
    ]

    class Started(Message):
        """Posted when the directive was issued."""

        def __init__(self, launched: launch.Launched) -> None:
            super().__init__()
            self.launched = launched

    class Refused(Message):
        """Posted when the run cannot succeed; `reasons` lists all errors, each with its remedy."""

        def __init__(self, reasons: str) -> None:
            super().__init__()
            self.reasons = reasons

    class CodeFound(Message):
        """Posted when models would run custom code that is not confirmed yet."""

        def __init__(self, settings: RunSettings, text: str, models: tuple[str, ...]) -> None:
            super().__init__()
            self.settings = settings
            self.text = text
            self.models = models

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._text = ""
        self._file: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        self._checked = Checked(None, {}, ())
        self._entered_field: FormField | None = None
        self._estimating: Timer | None = None

    def compose_body(self) -> ComposeResult:
        """Compose form and preview."""
        with Horizontal(id="launch"):
            with VerticalScroll(id="form", classes="panel", can_focus=False):
                yield Vertical(id="fields")
                yield Static(id="tasks", markup=False)
            with Vertical(id="preview"):
                with VerticalScroll(id="estimate", classes="panel", can_focus=False):
                    yield Static(id="estimate-text", markup=False)
                with VerticalScroll(id="toml", classes="panel"):
                    yield Static(id="toml-text", markup=False)
        yield Static(id="field-help", markup=False)
        yield Static(id="verdict", markup=False)

    def on_mount(self) -> None:
        """Load the settings file."""
        super().on_mount()
        self.query_one("#form").border_title = display.line(f"Settings · {self.workspace.settings_file}")
        self.query_one("#estimate").border_title = display.line("Estimate")
        self.query_one("#toml").border_title = display.line("What will run, defaults included")
        self.call_later(self.action_reload)

    async def action_reload(self) -> None:
        """Reload the settings file; unsaved changes are discarded."""
        fields = self.query_one("#fields", Vertical)
        await fields.remove_children()
        self._text, self._file, self._values = "", {}, {}
        try:
            self._text = self.workspace.settings_file.read_text(encoding="utf-8")
            self._file = settings_form.parse(self._text)
        except FileNotFoundError:
            await fields.mount(Static(display.stacked(self._no_file_lines()), markup=False))
            self.query_one("#verdict", Static).update(display.line())
            return
        except (OSError, UnicodeDecodeError, SettingsError) as error:
            words = (
                f"✗ {self.workspace.settings_file} can't be read: {error}\n\nCorrect it, then ctrl+l loads it again."
            )
            await fields.mount(Static(display.text(words, "$error"), markup=False))
            self.query_one("#verdict", Static).update(display.line())
            return
        self._values = self._file
        defaults = settings_form.check(self._file).settings or RunSettings.model_construct()
        shown = defaults.model_dump(mode="json", warnings=False)
        rows = []
        for field in settings_form.form_fields():
            value = settings_form.value_at(self._file, field.key)
            fallback = settings_form.value_at(shown, field.key)
            rows.append(SettingField(field, value if value is not None else "" if fallback is None else fallback))
        await fields.mount(*rows)
        self._check()

    def _no_file_lines(self) -> list[Content]:
        return [
            display.line("There is no settings file in this workspace yet."),
            display.line(),
            display.line("Make one in a shell with ", ("reflectevo init", "bold"), f" -w {self.workspace.root}"),
            display.line("then press ", ("^l", "bold $accent"), " to load it."),
        ]

    @on(SettingField.Changed)
    def _changed(self, message: SettingField.Changed) -> None:
        self._put(message.key, message.value)
        self._check()

    def _put(self, key: str, value: Any) -> None:
        if settings_form.value_at(self._values, key) is not None or value not in ("", []):
            self._values = settings_form.with_value(self._values, key, value)

    @on(SettingField.Entered)
    def _entered(self, message: SettingField.Entered) -> None:
        self._entered_field = message.field
        self._explain()

    def _explain(self) -> None:
        """Show the complete help of the current field, or its complete error message."""
        field = self._entered_field
        if field is None:
            return
        wrong = self._checked.wrong.get(field.key)
        choices = f"  one of: {', '.join(field.choices)}" if field.choices else ""
        words = (f"  ✗ {wrong}", "bold $error") if wrong else (f"  {field.help}{choices}", "")
        self.query_one("#field-help", Static).update(display.line((field.key, "bold"), words))

    def _check(self) -> None:
        self._checked = settings_form.check(self._values)
        self._explain()
        for row in self.query(SettingField):
            row.show_wrong(self._checked.wrong.get(row.field.key))
        self.query_one("#tasks", Static).update(display.stacked(task_lines(self._checked.settings, self._values)))
        self.query_one("#verdict", Static).update(verdict_line(self._checked))
        if self._checked.settings is not None:
            self.query_one("#toml-text", Static).update(display.text(dump_settings(self._checked.settings).rstrip()))
            self._estimate_soon()

    def _estimate_soon(self) -> None:
        """Schedule the estimate for when typing pauses: every estimate reads figures from the store."""
        if self._estimating is not None:
            self._estimating.stop()
        self._estimating = self.set_timer(_REST_SECONDS, self._estimate_now)

    def _estimate_now(self) -> None:
        if self._checked.settings is not None:
            self._estimate(self._checked.settings)

    @work(thread=True, exclusive=True, group="estimate")
    def _estimate(self, settings: RunSettings) -> None:
        try:
            lines = estimates.brief(estimate.estimate_in(self.workspace, settings))
        except OperatorError as error:
            lines = [f"no estimate: {error}"]
        self.post_message(Estimated(settings, tuple(lines)))

    @on(Estimated)
    def _estimated(self, message: Estimated) -> None:
        # The form may have changed while the older estimate was being computed.
        if message.settings is self._checked.settings:
            lines = [display.line(line) for line in message.lines]
            self.query_one("#estimate-text", Static).update(display.stacked(lines))

    def _settings(self) -> RunSettings | None:
        # A key binding may be handled before the change message of the last keystrokes.
        for row in self.query(SettingField):
            self._put(row.field.key, row.value)
        if self._values:
            self._check()
        if self._checked.settings is None:
            words = (
                "These settings are not valid yet; see the ✗ next to the fields."
                if self._values
                else "There is nothing to run yet."
            )
            self.notify(words, severity="warning", markup=False)
        return self._checked.settings

    def _file_text(self, settings: RunSettings) -> str:
        return launch.edited(self._text, settings_form.changed_keys(self._file, settings))

    def action_save(self) -> None:
        """Save the settings file."""
        settings = self._settings()
        if settings is not None:
            self._save_and_run(settings, self._file_text(settings), run=False)

    def action_run(self) -> None:
        """Save the file, run the preflight check, start the engine if needed, and issue the directive."""
        settings = self._settings()
        if settings is not None:
            self._start(settings, self._file_text(settings))

    def _start(self, settings: RunSettings, text: str, confirmed: tuple[str, ...] = ()) -> None:
        # Two concurrent checks would start the run twice.
        if any(worker.group == "launch" and worker.is_running for worker in self.workers):
            self.notify("The run is being checked already.", markup=False)
            return
        self.notify("Saving, and checking whether the run can succeed …", markup=False)
        self._save_and_run(settings, text, run=True, confirmed=confirmed)

    @work(thread=True, group="launch")
    def _save_and_run(self, settings: RunSettings, text: str, *, run: bool, confirmed: tuple[str, ...] = ()) -> None:
        try:
            write_file(self.workspace.settings_file, text)
            self.post_message(SettingsSaved(text, quiet=run))
            if run:
                self.post_message(self.Started(launch.launch(self.workspace, settings, confirmed)))
        except launch.CodeUnconfirmed as question:
            self.post_message(self.CodeFound(settings, text, question.models))
        except launch.RunRefused as refusal:
            self.post_message(self.Refused(str(refusal)))
        except OperatorError as error:
            self.post_message(WorkFailed(str(error)))

    @on(Started)
    def _started(self, message: Started) -> None:
        launched = message.launched
        self.app.post_message(DirectiveIssued(launched.kind, launched.uuid))
        for words in (launched.warnings, launched.note):
            if words:
                self.notify(words, severity="warning", timeout=_WARNING_SECONDS, markup=False)

    @on(Refused)
    def _refused(self, message: Refused) -> None:
        self.app.push_screen(MessageDialog("This run can't succeed; nothing was started", message.reasons))

    @on(CodeFound)
    def _ask_for_code(self, message: CodeFound) -> None:
        def decided(yes: bool | None) -> None:
            if yes:
                self._start(message.settings, message.text, message.models)
            else:
                self.notify("Nothing was started.", markup=False)

        self.app.push_screen(ConfirmDialog(code_question(message.models), "run it"), decided)

    @on(SettingsSaved)
    def _saved(self, message: SettingsSaved) -> None:
        self._text, self._file = message.text, settings_form.parse(message.text)
        if not message.quiet:
            self.notify("Saved.", markup=False)

    def action_leave_field(self) -> None:
        """Move the focus out of the form, so that the number keys switch screens again."""
        self.set_focus(None)

    def action_toml(self) -> None:
        """Toggle between the TOML and the form on a small terminal."""
        self.toggle_class("-toml")
