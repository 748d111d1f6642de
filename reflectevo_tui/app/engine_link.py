"""Communication between the operator and the engine: issues directives, reports outcomes, starts the engine.

The layer of the application below its screens. Uses the directive table of the store and the poller; knows no screens.
"""

from __future__ import annotations

from textual import on, work

from reflectevo_tui.engine_client.process import start_engine
from reflectevo_tui.engine_client.takeover import describe_holder, take_over
from reflectevo_tui.state.messages import (
    DirectiveAnswered,
    DirectiveIssued,
    DirectiveWanted,
    EngineStarted,
    EngineWanted,
    SnapshotRead,
    StoreLost,
    TakeoverOffered,
    TakeoverWanted,
    WorkFailed,
)
from reflectevo_tui.state.poller import Poller
from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.terminal.idle_gc import IdleCollector
from reflectevo_tui.terminal.minimal_repaint import MinimalRepaintApp
from reflectevo_tui.text import display
from store.control.directives import COMMANDS, issue
from store.database.connection import writing
from store.errors import OperatorError, StoreError
from store.records import DirectiveKind
from store.workspace import Workspace


class EngineLink(MinimalRepaintApp):
    """Base class of the application: watches one workspace and communicates with its engine."""

    def __init__(self, workspace: Workspace, collector: IdleCollector | None = None) -> None:
        super().__init__(collector)
        self.workspace = workspace
        self.snapshot: Snapshot | None = None
        self._awaited: dict[str, DirectiveKind] = {}
        self._poller = Poller(
            workspace,
            lambda snapshot: self.post_message(SnapshotRead(snapshot)),
            lambda reason: self.post_message(StoreLost(reason)),
        )

    def say(self, words: str, severity: str = "information") -> None:
        """Show a notification; all notifications of the application are created here."""
        level = "error" if severity == "error" else "warning" if severity == "warning" else "information"
        self.notify(display.visible(words), severity=level, markup=False)  # type: ignore[arg-type]

    def take_answers(self, snapshot: Snapshot) -> None:
        """Post the outcomes of directives contained in a snapshot and keep watching the remaining ones."""
        for directive in snapshot.watched:
            if directive.done is not None and directive.uuid in self._awaited:
                del self._awaited[directive.uuid]
                self.post_message(DirectiveAnswered(directive))
        self._poller.watched = frozenset(self._awaited)

    @on(DirectiveWanted)
    def _wanted(self, message: DirectiveWanted) -> None:
        self._issue(message)

    @work(thread=True)
    def _issue(self, wanted: DirectiveWanted) -> None:
        try:
            with writing(self.workspace.database, durable=True) as connection:
                uuid = issue(connection, wanted.kind, wanted.arguments)
        except OperatorError as error:
            self.post_message(WorkFailed(f"{COMMANDS[wanted.kind]} could not be sent: {error}"))
            return
        self.post_message(DirectiveIssued(wanted.kind, uuid))

    @on(DirectiveIssued)
    def _issued(self, message: DirectiveIssued) -> None:
        self._awaited[message.uuid] = message.kind
        self._poller.watched = frozenset(self._awaited)
        self._poller.refresh()
        if self.snapshot is not None and self.snapshot.engine.state == "stopped":
            self.say(f"{COMMANDS[message.kind]} is queued: the engine is stopped. Press e to start it.", "warning")

    @on(DirectiveAnswered)
    def _answered(self, message: DirectiveAnswered) -> None:
        directive = message.directive
        if directive.accepted:
            self.say(directive.outcome or f"{COMMANDS[directive.kind]}: done")
        else:
            self.say(f"refused: {directive.outcome or COMMANDS[directive.kind]}", "error")

    @on(EngineWanted)
    def start_engine(self) -> None:
        """Start the engine unless it is running; an engine with a stale heartbeat is inspected first."""
        if self.snapshot is not None and self.snapshot.engine.state == "stale":
            self._look_at_engine()
            return
        self.say("Starting the engine …")
        self._start_in_thread()

    @work(thread=True, exclusive=True, group="engine")
    def _look_at_engine(self) -> None:
        try:
            account = describe_holder(self.workspace)
        except StoreError as error:
            self.post_message(WorkFailed(str(error)))
            return
        self.post_message(TakeoverOffered(account.lines, account.may_end))

    @on(TakeoverWanted)
    def _take_over(self) -> None:
        self.say("Ending the unresponsive engine …")
        self._take_over_in_thread()

    @work(thread=True, exclusive=True, group="engine")
    def _take_over_in_thread(self) -> None:
        try:
            _, started = take_over(self.workspace)
        except OperatorError as error:
            self.post_message(WorkFailed(str(error)))
            return
        self.post_message(EngineStarted(started.pid, started.already))

    @work(thread=True, exclusive=True, group="engine")
    def _start_in_thread(self) -> None:
        try:
            started = start_engine(self.workspace)
        except OperatorError as error:
            self.post_message(WorkFailed(str(error)))
            return
        self.post_message(EngineStarted(started.pid, started.already))

    @on(EngineStarted)
    def _engine_started(self, message: EngineStarted) -> None:
        self.say(f"The engine {'is already running' if message.already else 'is ready'} (pid {message.pid}).")
        self._poller.refresh()

    @on(WorkFailed)
    def _failed(self, message: WorkFailed) -> None:
        self.say(message.reason, "error")
