"""The terminal application: owns the screens, the poller, and what the operator asks of the engine.

State flows one way: store → poller (a thread) → message → handler here → screen → widget. The operator's word goes
the other way as a directive row; its outcome comes back with a snapshot. Knows nothing of SQL or of models.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import partial
from importlib import import_module
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from reflectevo_tui import display
from reflectevo_tui.engine_process import EngineUnavailable, start_engine
from reflectevo_tui.frugal_app import FrugalApp
from reflectevo_tui.messages import (
    DirectiveAnswered,
    DirectiveIssued,
    DirectiveWanted,
    EngineStarted,
    EngineWanted,
    SearchWanted,
    SnapshotRead,
    SnapshotWanted,
    StoreLost,
    TrajectoryWanted,
    WorkFailed,
)
from reflectevo_tui.palette import palette_commands
from reflectevo_tui.poller import Poller
from reflectevo_tui.screens.confirm_dialog import ConfirmDialog
from reflectevo_tui.screens.framed_screen import SCREENS, FramedScreen
from reflectevo_tui.screens.help_dialog import HelpDialog
from reflectevo_tui.screens.monitor import MonitorScreen
from reflectevo_tui.screens.trajectories import TrajectoriesScreen
from reflectevo_tui.snapshot import Snapshot
from reflectevo_tui.theme import THEME
from reflectevo_tui.widgets.screen_tabs import ScreenTabs
from store.connection import open_writer
from store.directives import issue
from store.errors import StoreError
from store.workspace import Workspace

EXIT_STORE_LOST = 3
"""Return code when the database can't be opened or was lost while the application ran."""


class ReflectEvoApp(FrugalApp):
    """Supervises the engine of one workspace. Leaving it leaves the engine running."""

    CSS_PATH = "styles.tcss"
    TITLE = "reflectevo"
    DEFAULT_MODE = "monitor"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(tab.key, f"open_screen('{tab.mode}')", tab.title, show=False) for tab in SCREENS),
        Binding("question_mark", "keys", "keys of this screen", show=False),
        Binding("q,ctrl+q", "detach", "detach: leave, the engine goes on", show=False),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self.snapshot: Snapshot | None = None
        self._awaited: dict[str, str] = {}
        self._poller = Poller(
            workspace,
            lambda snapshot: self.post_message(SnapshotRead(snapshot)),
            lambda reason: self.post_message(StoreLost(reason)),
        )
        self.add_mode("monitor", partial(MonitorScreen, workspace))
        self.add_mode("trajectories", partial(TrajectoriesScreen, workspace))
        self.add_mode("launch", self._launch_screen)
        self.register_theme(THEME)
        self.theme = THEME.name

    def _launch_screen(self) -> Screen[None]:
        # Imported when it is opened, or soon after the start: the settings model costs a fifth of a second.
        from reflectevo_tui.screens.launch import LaunchScreen

        return LaunchScreen(self.workspace)

    def on_mount(self) -> None:
        """Start to watch the store."""
        self.run_worker(self._poller.run, name="poller", thread=True, exit_on_error=False)
        self.set_interval(1.0, self._tick)
        self.set_timer(
            2.0, partial(self.run_worker, partial(import_module, "reflectevo_tui.screens.launch"), thread=True)
        )

    def on_unmount(self) -> None:
        """End the poller with the application."""
        self._poller.stop()

    def say(self, words: str, severity: str = "information") -> None:
        """A notification; the only way to make one."""
        level = "error" if severity == "error" else "warning" if severity == "warning" else "information"
        self.notify(display.visible(words), severity=level, markup=False)  # type: ignore[arg-type]

    def _framed(self) -> Iterable[FramedScreen]:
        return (screen for screen in self.screen_stack if isinstance(screen, FramedScreen) and screen.stands)

    def _tick(self) -> None:
        for screen in self._framed():
            screen.tick()

    @on(SnapshotRead)
    def _show_snapshot(self, message: SnapshotRead) -> None:
        self.snapshot = message.snapshot
        for screen in self._framed():
            screen.show_snapshot(message.snapshot)
        for directive in message.snapshot.watched:
            if directive.done is not None and self._awaited.pop(directive.uuid, ""):
                self.post_message(DirectiveAnswered(directive))
        self._poller.watched = frozenset(self._awaited)

    @on(SnapshotWanted)
    def _show_again(self) -> None:
        if self.snapshot is not None:
            for screen in self._framed():
                screen.show_snapshot(self.snapshot)

    @on(StoreLost)
    def _leave_without_store(self, message: StoreLost) -> None:
        # A renderable, not a string: rich would read markup in it.
        self.exit(return_code=EXIT_STORE_LOST, message=Text(display.visible(message.reason)))

    @on(ScreenTabs.Chosen)
    def _tab_clicked(self, message: ScreenTabs.Chosen) -> None:
        self.action_open_screen(message.mode)

    @on(DirectiveWanted)
    def _wanted(self, message: DirectiveWanted) -> None:
        self._issue(message)

    @work(thread=True)
    def _issue(self, wanted: DirectiveWanted) -> None:
        try:
            connection = open_writer(self.workspace.database, durable=True)
            try:
                uuid = issue(connection, wanted.kind, wanted.arguments)
            finally:
                connection.close()
        except (StoreError, sqlite3.Error) as error:
            self.post_message(WorkFailed(f"{wanted.kind} could not be sent: {error}"))
            return
        self.post_message(DirectiveIssued(wanted.kind, uuid))

    @on(DirectiveIssued)
    def _issued(self, message: DirectiveIssued) -> None:
        self._awaited[message.uuid] = message.kind
        self._poller.watched = frozenset(self._awaited)
        self._poller.refresh()
        if self.snapshot is not None and self.snapshot.engine.state == "stopped":
            self.say(
                f"{message.kind} is sent; the engine is stopped and hasn't answered. Press e to start it.", "warning"
            )

    @on(DirectiveAnswered)
    def _answered(self, message: DirectiveAnswered) -> None:
        directive = message.directive
        words = f"{directive.kind}: {directive.outcome or ('done' if directive.accepted else 'refused')}"
        self.say(words if directive.accepted else f"refused: {words}", "information" if directive.accepted else "error")
        launched = directive.accepted and directive.kind in ("start_run", "start_iteration")
        if launched and self.current_mode == "launch":
            self.action_open_screen("monitor")

    @on(EngineWanted)
    def start_engine(self) -> None:
        """Start the engine, if it doesn't run."""
        self.say("Starting the engine …")
        self._start_in_thread()

    @work(thread=True, exclusive=True, group="engine")
    def _start_in_thread(self) -> None:
        try:
            started = start_engine(self.workspace)
        except (EngineUnavailable, OSError) as error:
            self.post_message(WorkFailed(str(error)))
            return
        self.post_message(EngineStarted(started.pid, started.already))

    @on(EngineStarted)
    def _engine_started(self, message: EngineStarted) -> None:
        self.say(f"The engine {'was running already' if message.already else 'is ready'} (pid {message.pid}).")
        self._poller.refresh()

    @on(WorkFailed)
    def _failed(self, message: WorkFailed) -> None:
        self.say(message.reason, "error")

    @on(SearchWanted)
    async def _search(self) -> None:
        await self.switch_mode("trajectories")
        if isinstance(self.screen, TrajectoriesScreen):
            self.screen.action_search()

    @on(TrajectoryWanted)
    async def _open_trajectory(self, message: TrajectoryWanted) -> None:
        await self.switch_mode("trajectories")
        if isinstance(self.screen, TrajectoriesScreen):
            self.screen.go_to(message.trajectory_id)

    def action_open_screen(self, mode: str) -> None:
        """Switch to a numbered screen; each keeps its state."""
        self.switch_mode(mode)

    def action_keys(self) -> None:
        """Show the keys of this screen."""
        if isinstance(self.screen, FramedScreen):
            everywhere = [binding for binding in self.BINDINGS if isinstance(binding, Binding)]
            everywhere.append(Binding("ctrl+p", "", "command palette"))
            self.push_screen(HelpDialog([*self.screen.help_groups(), ("Everywhere", everywhere)]))

    def action_detach(self) -> None:
        """Leave; the engine goes on."""
        engine = self.snapshot.engine if self.snapshot else None
        if engine is not None and engine.state != "stopped":
            words = (
                f"Detached. The engine goes on (pid {engine.pid}); come back with: reflectevo -w {self.workspace.root}"
            )
        else:
            words = "Detached. No engine is running."
        self.exit(message=Text(display.visible(words)))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the command palette offers."""
        return palette_commands(self)

    def directive(self, kind: str, iteration_id: int) -> None:
        """Issue a directive for an iteration."""
        self.post_message(DirectiveWanted(kind, {"iteration": iteration_id}))

    def ask_shut_down(self) -> None:
        """Shut the engine down, after a question."""

        def decided(yes: bool | None) -> None:
            if yes:
                self.post_message(DirectiveWanted("shut_down", {}))

        words = "Shut the engine down?\n\nWhat is in hand is kept; e starts it again."
        self.push_screen(ConfirmDialog(words, "shut it down"), decided)
