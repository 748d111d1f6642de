"""Monitor screen: what is running, whether it is healthy, and what the operator has to decide."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from reflectevo_tui.screens.base.framed_screen import FramedScreen
from reflectevo_tui.screens.dialogs.confirm import ConfirmDialog
from reflectevo_tui.screens.dialogs.gate import GateDecision, GateDialog
from reflectevo_tui.state.messages import DirectiveWanted, EngineWanted, SearchWanted, TrajectoryWanted
from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.terminal.throttle import Throttle
from reflectevo_tui.widgets.control_panel import ControlPanel
from reflectevo_tui.widgets.event_log import EventLog
from reflectevo_tui.widgets.generation_gauges import GenerationGauges
from reflectevo_tui.widgets.hardware_table import HardwareTable
from reflectevo_tui.widgets.live_text_pane import LiveTextPane
from reflectevo_tui.widgets.metric_chart import MetricChart, show_accuracy, show_training
from reflectevo_tui.widgets.newest_trajectories import NewestList
from reflectevo_tui.widgets.reflection_panel import ReflectionPanel
from reflectevo_tui.widgets.reported_accuracy import ReportedAccuracy
from reflectevo_tui.widgets.stage_rail import StageRail
from store.workspace import Workspace

STOP_WORDS = (
    "Stop this iteration?\n\n"
    "Running work is finished or saved; training saves a checkpoint first.\n"
    "p resumes it later where it stopped."
)


STREAM_SECONDS = 1.0
"""Minimum time, in seconds, between repaints of counts, gauges and growing texts. State changes of a stage or of the
engine are shown immediately."""

NEWEST_SECONDS = 4.0
"""The same for the newest trajectories, in seconds: each new one shifts all rows, which costs 2 KB of output."""


def _turns(snapshot: Snapshot) -> tuple[object, ...]:
    """Return the values whose changes must be shown to the operator immediately."""
    one, last = snapshot.iteration, snapshot.events[-1].id if snapshot.events else 0
    where = (one.id, one.state, one.control) if one is not None else None
    return (snapshot.engine.state, where, snapshot.gate, last, *((stage.id, stage.state) for stage in snapshot.stages))


class MonitorScreen(FramedScreen):
    """The overview screen, meant to stay open while the engine runs."""

    mode: ClassVar[str] = "monitor"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause_or_resume", "pause/resume"),
        Binding("s", "stop", "stop"),
        Binding("g", "gate", "gate"),
        Binding("e", "start_engine", "start engine"),
        Binding("l", "log", "log"),
        Binding("c", "charts", "charts"),
        Binding("slash", "search", "search"),
        Binding("R", "retry_failed", "retry failed", show=False),
        Binding("escape", "overview", "back to the overview", show=False),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._snapshot: Snapshot | None = None
        self._stream, self._list = Throttle(STREAM_SECONDS), Throttle(NEWEST_SECONDS)
        self._shown: tuple[object, ...] | None = None
        self._held_back = False

    def compose_body(self) -> ComposeResult:
        """Compose the stage rail at the top, numbers and charts on the left, hardware and texts on the right."""
        yield StageRail()
        with Horizontal(id="lower"):
            with Vertical(id="left"):
                yield GenerationGauges()
                yield ReportedAccuracy()
                yield ControlPanel()
                yield ReflectionPanel()
                yield MetricChart("Training", "curves appear when the train stage runs", id="training")
                yield MetricChart(
                    "Acc@t1 ● Acc@t2 ○ floor ▪ by iteration", "appears after the first evaluation", id="accuracy"
                )
            with Vertical(id="right"):
                yield HardwareTable()
                yield LiveTextPane()
                yield NewestList()
                yield EventLog()

    def on_mount(self) -> None:
        """Focus the newest trajectories, so that the arrow keys and enter work immediately."""
        super().on_mount()
        self.query_one(NewestList).focus()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Pass the snapshot to every panel, or delay it briefly if only counters have changed."""
        super().show_snapshot(snapshot)
        self._snapshot = snapshot
        turns = _turns(snapshot)
        urgent, self._shown = turns != self._shown, turns
        self._held_back = not self._stream.due(urgent=urgent)
        if not self._held_back:
            self._show_panels(snapshot, urgent)

    def tick(self) -> None:
        """Show a delayed snapshot if no newer one has arrived."""
        super().tick()
        if self._snapshot is not None and self._held_back and self._stream.due():
            self._held_back = False
            self._show_panels(self._snapshot, urgent=False)

    def on_screen_resume(self) -> None:
        """Refresh every panel when the screen becomes active again."""
        self._shown = None
        super().on_screen_resume()

    def _show_panels(self, snapshot: Snapshot, urgent: bool) -> None:
        self.query_one(StageRail).show_snapshot(snapshot)
        self.query_one(GenerationGauges).show_snapshot(snapshot)
        self.query_one(ReportedAccuracy).show_snapshot(snapshot)
        self.query_one(ControlPanel).show_snapshot(snapshot)
        self.set_class(bool(snapshot.reported), "-reported")
        self.set_class(snapshot.controls is not None, "-controls")
        self.query_one(ReflectionPanel).show_snapshot(snapshot)
        self.set_class(bool(snapshot.reflections), "-reflections")
        self.set_class("rollout" in snapshot.heartbeats, "-generating")
        show_training(self.query_one("#training", MetricChart), snapshot)
        show_accuracy(self.query_one("#accuracy", MetricChart), snapshot)
        self.query_one(HardwareTable).show_snapshot(snapshot)
        self.query_one(LiveTextPane).show_snapshot(snapshot)
        if self._list.due(urgent=urgent):
            self.query_one(NewestList).show_snapshot(snapshot)
        else:
            self._held_back = True
        self.query_one(EventLog).show_snapshot(snapshot)

    def _iteration_id(self, purpose: str) -> int | None:
        """Return the iteration a key acts on; notify the operator if there is none."""
        if self._snapshot is None or self._snapshot.iteration is None:
            self.notify(f"There is no iteration to {purpose}.", severity="warning", markup=False)
            return None
        return self._snapshot.iteration.id

    def action_pause_or_resume(self) -> None:
        """Pause a running iteration, or resume a paused or stopped one."""
        iteration_id = self._iteration_id("pause")
        if iteration_id is None or self._snapshot is None or self._snapshot.iteration is None:
            return
        iteration = self._snapshot.iteration
        if iteration.state == "done":
            self.notify("This iteration is done; 7 launches the next one.", markup=False)
            return
        resting = iteration.state in ("paused", "stopped", "failed") or iteration.control != "run"
        self.post_message(DirectiveWanted("resume" if resting else "pause", {"iteration": iteration_id}))

    def action_stop(self) -> None:
        """Stop the iteration after confirmation."""
        iteration_id = self._iteration_id("stop")
        if iteration_id is None:
            return

        def decided(yes: bool | None) -> None:
            if yes:
                self.post_message(DirectiveWanted("stop", {"iteration": iteration_id}))

        self.app.push_screen(ConfirmDialog(STOP_WORDS, "stop"), decided)

    def action_retry_failed(self) -> None:
        """Retry the failed generations."""
        iteration_id = self._iteration_id("retry")
        if iteration_id is not None:
            self.post_message(DirectiveWanted("retry_failed", {"iteration": iteration_id}))

    def action_gate(self) -> None:
        """Open the dialog of the waiting gate."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.iteration is None or snapshot.gate is None:
            self.notify("No gate is waiting.", markup=False)
            return
        iteration_id, gate = snapshot.iteration.id, snapshot.gate

        def decided(decision: GateDecision | None) -> None:
            if decision is not None:
                self.post_message(DirectiveWanted(decision, {"iteration": iteration_id, "stage": gate}))

        self.app.push_screen(GateDialog(snapshot, gate, self.workspace), decided)

    def action_start_engine(self) -> None:
        """Start the engine unless it is running."""
        self.post_message(EngineWanted())

    def action_log(self) -> None:
        """Toggle the log between its panel and the complete lower area."""
        self.remove_class("-charts")
        self.toggle_class("-log")
        (self.query_one(EventLog) if self.has_class("-log") else self.query_one(NewestList)).focus()

    def action_charts(self) -> None:
        """Toggle the charts between their panel and the lower area (the only place for them on a small terminal)."""
        self.remove_class("-log")
        self.toggle_class("-charts")

    def action_overview(self) -> None:
        """Restore the default layout of the panels."""
        self.remove_class("-log", "-charts")
        self.query_one(NewestList).focus()

    def action_search(self) -> None:
        """Open the search of Trajectories."""
        self.post_message(SearchWanted())

    @on(NewestList.Opened)
    def _open(self, message: NewestList.Opened) -> None:
        self.post_message(TrajectoryWanted(message.trajectory_id))
