"""The terminal application: owns the screens and passes the poller's snapshots to them.

Data flows in one direction: store → poller (a thread) → message → handler here → screen → widget. The operator's
commands travel the other way as directive rows (`engine_link.py`). Contains no SQL and knows nothing of models.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from reflectevo_tui.app.engine_link import EngineLink
from reflectevo_tui.app.theme import THEMES
from reflectevo_tui.screens.base.framed_screen import FramedScreen
from reflectevo_tui.screens.dialogs.confirm import ConfirmDialog
from reflectevo_tui.screens.dialogs.help import HelpDialog
from reflectevo_tui.screens.registry import SCREENS, ScreenEntry
from reflectevo_tui.screens.trajectories import TrajectoriesScreen
from reflectevo_tui.state.alarms import new_alarms
from reflectevo_tui.state.messages import (
    ChoicesMade,
    DirectiveAnswered,
    DirectiveWanted,
    SearchWanted,
    SnapshotRead,
    SnapshotWanted,
    StoreLost,
    TakeoverOffered,
    TakeoverWanted,
    TrajectoriesWanted,
    TrajectoryWanted,
)
from reflectevo_tui.state.user_config import load_choices, save_choices
from reflectevo_tui.terminal.idle_gc import IdleCollector
from reflectevo_tui.text import display
from reflectevo_tui.widgets.screen_tabs import ScreenTabs
from store.records import DirectiveKind
from store.workspace import Workspace

EXIT_STORE_LOST = 3
"""Return code when the database can't be opened or was lost while the application ran."""


class ReflectEvoApp(EngineLink):
    """Supervises the engine of one workspace. Quitting the application leaves the engine running."""

    CSS_PATH = "styles.tcss"
    TITLE = "reflectevo"
    DEFAULT_MODE = next(iter(SCREENS))
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "keys", "keys of this screen", show=False),
        Binding("ctrl+o", "picture", "save a screenshot (SVG)", show=False),
        Binding("q,ctrl+q", "detach", "detach: leave, the engine keeps running", show=False),
    ]

    def __init__(self, workspace: Workspace, collector: IdleCollector | None = None) -> None:
        super().__init__(workspace, collector)
        self.choices = load_choices()
        self._screen_bindings = [_opening(entry) for entry in SCREENS.values()]
        for entry, binding in zip(SCREENS.values(), self._screen_bindings, strict=True):
            self.add_mode(entry.mode, partial(self._make_screen, entry))
            self.bind(binding.key, binding.action, description=binding.description, show=binding.show)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self.choices.theme if self.choices.theme in {theme.name for theme in THEMES} else THEMES[0].name

    def _make_screen(self, entry: ScreenEntry) -> Screen[None]:
        screen: Screen[None] = entry.load()(self.workspace)
        return screen

    def on_mount(self) -> None:
        """Start the poller, the clock and the background import of the screens."""
        self.run_worker(self._poller.run, name="poller", thread=True, exit_on_error=False)
        self.set_interval(1.0, self._tick)
        self.set_timer(2.0, partial(self.run_worker, self._import_screens, thread=True))

    def _import_screens(self) -> None:
        for entry in SCREENS.values():
            entry.load()
        self.call_from_thread(self.stand)

    def on_unmount(self) -> None:
        """Stop the poller when the application exits."""
        self._poller.stop()

    def _framed(self) -> Iterable[FramedScreen]:
        return (screen for screen in self.screen_stack if isinstance(screen, FramedScreen) and screen.stands)

    def _tick(self) -> None:
        for screen in self._framed():
            screen.tick()

    @on(SnapshotRead)
    def _show_snapshot(self, message: SnapshotRead) -> None:
        alarms = new_alarms(self.snapshot, message.snapshot)
        self.snapshot = message.snapshot
        for screen in self._framed():
            screen.show_snapshot(message.snapshot)
        self.take_answers(message.snapshot)
        self.show_first_frame()
        for alarm in alarms:
            self.say(alarm.words, alarm.severity)
            if self.choices.bell:
                self.bell()

    @on(SnapshotWanted)
    def _show_again(self) -> None:
        if self.snapshot is not None:
            for screen in self._framed():
                screen.show_snapshot(self.snapshot)

    @on(StoreLost)
    def _leave_without_store(self, message: StoreLost) -> None:
        # A renderable rather than a string: rich would interpret markup in a string.
        self.exit(return_code=EXIT_STORE_LOST, message=Text(display.visible(message.reason)))

    @on(ScreenTabs.Chosen)
    def _tab_clicked(self, message: ScreenTabs.Chosen) -> None:
        self.action_open_screen(message.mode)

    @on(DirectiveAnswered)
    def _launched(self, message: DirectiveAnswered) -> None:
        directive = message.directive
        if directive.accepted and directive.kind in ("start_run", "start_iteration") and self.current_mode == "launch":
            self.action_open_screen("monitor")

    @on(SearchWanted)
    async def _search(self) -> None:
        await self.switch_mode("trajectories")
        if isinstance(self.screen, TrajectoriesScreen):
            self.screen.action_search()

    async def go_to_row(self) -> None:
        """Open the prompt for a position in the list of Trajectories."""
        await self.switch_mode("trajectories")
        if isinstance(self.screen, TrajectoriesScreen):
            self.screen.action_jump()

    @on(TrajectoryWanted)
    async def _open_trajectory(self, message: TrajectoryWanted) -> None:
        await self.switch_mode("trajectories")
        if isinstance(self.screen, TrajectoriesScreen):
            self.screen.go_to(message.trajectory_id)

    @on(TrajectoriesWanted)
    async def _open_trajectories(self, message: TrajectoriesWanted) -> None:
        await self.switch_mode("trajectories")
        if isinstance(self.screen, TrajectoriesScreen):
            self.screen.show_filter(message.wanted)

    def action_open_screen(self, mode: str) -> None:
        """Switch to a numbered screen; every screen keeps its state."""
        self.switch_mode(mode)

    def action_keys(self) -> None:
        """Show the key bindings of the current screen."""
        if isinstance(self.screen, FramedScreen):
            own = (binding for binding in self.BINDINGS if isinstance(binding, Binding))
            everywhere = [*self._screen_bindings, *own]
            everywhere.append(Binding("ctrl+p", "", "command palette"))
            self.push_screen(HelpDialog([*self.screen.help_groups(), ("Everywhere", everywhere)]))

    def action_picture(self) -> None:
        """Save the current screen as an SVG file in the workspace."""
        directory = self.workspace.root / "pictures"
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            name = f"{self.current_mode}-{time.strftime('%Y%m%d-%H%M%S')}.svg"
            path = self.save_screenshot(name, str(directory))
        except OSError as error:
            self.say(f"the screenshot could not be saved: {error}", "error")
            return
        self.say(f"screenshot saved: {path}")

    def action_detach(self) -> None:
        """Quit the application; the engine keeps running."""
        engine = self.snapshot.engine if self.snapshot else None
        if engine is not None and engine.state != "stopped":
            words = (
                f"Detached. The engine keeps running (pid {engine.pid}); "
                f"open it with: reflectevo -w {self.workspace.root}"
            )
        else:
            words = "Detached. No engine is running."
        self.exit(message=Text(display.visible(words)))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Return the entries of the command palette."""
        return palette_commands(self)

    def choose(self, **changes: object) -> None:
        """Change and save the operator's preferences (theme, bell, saved filters)."""
        self.choices = self.choices.changed(**changes)
        if self.choices.theme and self.theme != self.choices.theme:
            self.theme = self.choices.theme
        failure = save_choices(self.choices)
        if failure:
            self.say(failure, "warning")

    @on(ChoicesMade)
    def _choose(self, message: ChoicesMade) -> None:
        self.choose(**message.changes)

    def directive(self, kind: DirectiveKind, iteration_id: int) -> None:
        """Issue a directive for an iteration."""
        self.post_message(DirectiveWanted(kind, {"iteration": iteration_id}))

    @on(TakeoverOffered)
    def _offer_takeover(self, message: TakeoverOffered) -> None:
        known = "\n".join(message.lines)
        if not message.may_end:
            self.say(known, "warning")
            return

        def decided(yes: bool | None) -> None:
            if yes:
                self.post_message(TakeoverWanted())

        words = f"{known}\n\nEnd this process and start another engine? What it stored is kept."
        self.push_screen(ConfirmDialog(words, "take over"), decided)

    def ask_shut_down(self) -> None:
        """Shut down the engine after confirmation."""

        def decided(yes: bool | None) -> None:
            if yes:
                self.post_message(DirectiveWanted("shut_down", {}))

        words = "Shut the engine down?\n\nRunning work is saved first; e starts the engine again."
        self.push_screen(ConfirmDialog(words, "shut it down"), decided)


def _opening(entry: ScreenEntry) -> Binding:
    """Return the binding that opens a screen from anywhere."""
    return Binding(f"{entry.key},f{entry.key}", f"open_screen('{entry.mode}')", entry.title, show=False)


ITERATION_COMMANDS: tuple[tuple[DirectiveKind, str, str], ...] = (
    ("pause", "Pause the iteration", "Takes effect within seconds; nothing is lost"),
    ("resume", "Resume the iteration", "Continues where it was paused or stopped"),
    ("save_now", "Save a checkpoint", "Of the running training, at the next step"),
    ("retry_failed", "Retry failures", "Retries failed samples and a failed stage"),
)
"""Directive, title and description of each palette command for the current iteration."""


def palette_commands(app: ReflectEvoApp) -> Iterator[SystemCommand]:
    """Yield the commands that apply in the current state."""
    yield SystemCommand("Start the engine", "Does nothing if it is already running", app.start_engine)
    iteration = app.snapshot.iteration if app.snapshot else None
    if iteration is not None:
        for kind, title, words in ITERATION_COMMANDS:
            yield SystemCommand(title, words, partial(app.directive, kind, iteration.id))
    yield SystemCommand("Shut the engine down", "Asks first; running work is saved", app.ask_shut_down)
    for entry in SCREENS.values():
        words = f"Open this screen (key {entry.key})"
        yield SystemCommand(entry.title, words, partial(app.action_open_screen, entry.mode))
    yield SystemCommand("Go to a row", "In the list of Trajectories (key : there)", app.go_to_row)
    for theme in THEMES:
        words = {"reflectevo": "dark", "reflectevo-light": "light", "reflectevo-contrast": "high contrast"}[theme.name]
        yield SystemCommand(f"Theme: {words}", "Saved for this user", partial(app.choose, theme=theme.name))
    ring = not app.choices.bell
    yield SystemCommand(
        f"Bell: {'on' if ring else 'off'}", "When a gate waits or a stage fails", partial(app.choose, bell=ring)
    )
    yield SystemCommand("Save a screenshot", "This screen as SVG in the workspace (ctrl+o)", app.action_picture)
    yield SystemCommand("Keys", "The keys of this screen", app.action_keys)
    yield SystemCommand("Detach", "Leave; the engine keeps running", app.action_detach)
