"""The stage rail: progress and rate of each stage, and the gate that waits for the operator."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from textual.content import Content

from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.widgets.line_panel import LinePanel
from store.records import Iteration, IterationState, Stage, StageState

GLYPHS: Mapping[StageState, tuple[str, str]] = {
    "pending": ("○", "$quiet"),
    "waiting": ("◆", "bold $warning"),
    "running": ("●", "bold $primary"),
    "done": ("✓", "$success"),
    "failed": ("✗", "bold $error"),
    "skipped": ("–", "$quiet"),
}
"""Glyph and style of each stage state; colour is never the only indication of a state."""

_BAR_STYLES: Mapping[StageState, str] = {"done": "$success", "failed": "$error"}


def gates_ahead(iteration: Iteration) -> Collection[str]:
    """Return the names of the gates at which this iteration waits."""
    gates = iteration.settings.get("gates")
    return [str(gate) for gate in gates] if isinstance(gates, list | tuple) else []


def time_of(stage: Stage, rate: float | None, now: float, *, moving: bool) -> str:
    """Return the text at the right edge: the elapsed time, or the estimated remaining time."""
    if stage.state == "done" and stage.started and stage.ended:
        return formatting.duration(stage.ended - stage.started)
    if stage.state == "running" and rate and stage.owed:
        return "~" + formatting.duration(stage.owed / rate)
    if stage.state == "running" and stage.started and moving:
        return formatting.duration(now - stage.started)
    return ""


def _progress(stage: Stage, width: int) -> list[Part]:
    if not stage.total:
        return [" " * (width + 20)]
    filled, empty = formatting.bar(stage.done / stage.total, width)
    style = _BAR_STYLES.get(stage.state, "$primary")
    counts = f"{formatting.count(stage.done)} / {formatting.count(stage.total)}"
    return [(filled, style), (empty, "$rule"), f" {counts:>17}  "]


def stage_line(stage: Stage, snapshot: Snapshot, width: int) -> Content:
    """Format one row of the rail."""
    assert snapshot.iteration is not None
    glyph, style = GLYPHS[stage.state]
    head: list[Part] = [" ", (glyph, style), (f" {stage.name:<10}", style if stage.state != "done" else "")]
    bar_width = min(max(width // 5, 8), 28)
    moving = stage.state == "running" and snapshot.engine.state != "stopped"
    rate = snapshot.rates.get(stage.name) if moving else None
    right = time_of(stage, rate, snapshot.taken, moving=moving)
    match stage.state:
        case "waiting":
            middle: list[Part] = [("GATE", "bold reverse $warning"), ("  needs your approval", "bold $warning")]
            middle += [f"  {stage.note}" if stage.note else ""]
            right = "g look and approve"
        case "failed":
            middle = [(stage.error or stage.note or "failed", "$error")]
            right = "R retry"
        case "pending" if stage.name in gates_ahead(snapshot.iteration) and not stage.approved:
            middle = [("will wait for your approval", "$quiet"), (f"  {stage.note}", "$quiet")]
        case "pending" | "skipped" if not stage.total:
            middle = [(stage.note or ("skipped" if stage.state == "skipped" else ""), "$quiet")]
        case _:
            pieces = ([f"{formatting.compact(rate)} /s"] if rate else []) + ([stage.note] if stage.note else [])
            middle = [*_progress(stage, bar_width), " · ".join(pieces)]
    return _at_the_edges(display.line(*head, *middle), right, width, stage.state == "waiting")


def promote_line(snapshot: Snapshot, width: int) -> Content:
    """Format the row of the promote gate, which is not a stage."""
    child = snapshot.child.name if snapshot.child else "the child"
    parent = snapshot.parent.name if snapshot.parent else "its parent"
    reason = snapshot.iteration.reason if snapshot.iteration else ""
    left = display.line(
        " ",
        ("◆ promote   ", "bold $warning"),
        ("GATE", "bold reverse $warning"),
        (f"  promote {child} over {parent}?", "bold $warning"),
        f"  {reason}" if reason else "",
    )
    return _at_the_edges(left, "g look and decide", width, True)


def _at_the_edges(left: Content, right: str, width: int, stands_out: bool) -> Content:
    end = display.line((right, "bold $accent" if stands_out or right == "R retry" else "$quiet"), " ")
    room = max(width - end.cell_length - 1, 0)
    return display.joined([left.truncate(room, ellipsis=True, pad=True), display.line(" "), end])


def empty_lines(snapshot: Snapshot) -> list[Content]:
    """Return the lines shown without an iteration: the current state, and what to do next."""
    run = snapshot.run
    if run is None:
        lines = [
            display.line(" Nothing has run in this workspace yet.", ""),
            display.line(""),
            display.line(" Press ", ("7", "bold $accent"), " to look at the settings and launch a run,"),
            display.line(" or type ", ("reflectevo run", "bold"), " in a shell."),
        ]
    elif run.state == "failed":
        lines = [
            display.line(
                (f" ✗ Run {run.name} could not be prepared: ", "bold $error"), run.error or "no reason stored"
            ),
            display.line(" Press ", ("7", "bold $accent"), " to change its settings and launch it again."),
        ]
    else:
        heartbeat = snapshot.heartbeats.get("prepare")
        doing = f" ({heartbeat.state})" if heartbeat and heartbeat.state else ""
        lines = [
            display.line((" ● ", "bold $primary"), f"Run {run.name} is being prepared{doing}: tasks and base model.")
        ]
    if snapshot.engine.state == "stopped":
        lines.append(display.line(" The engine is stopped. Press ", ("e", "bold $accent"), " to start it."))
    return lines


def expectation(snapshot: Snapshot) -> Content | None:
    """Return what the operator has to do if the iteration does not continue automatically."""
    assert snapshot.iteration is not None
    state = snapshot.iteration.state
    if snapshot.run is not None and snapshot.run.state == "new" and state == "running":
        heartbeat = snapshot.heartbeats.get("prepare")
        doing = f" ({heartbeat.state})" if heartbeat and heartbeat.state else ""
        return display.line((" ● ", "bold $primary"), f"The run is being prepared{doing}: tasks and base model.")
    if snapshot.engine.state == "stopped" and state in ("running", "waiting", "paused"):
        return display.line((" ○ The engine is stopped. ", "$error"), "Press ", ("e", "bold $accent"), " to start it.")
    keys: Mapping[IterationState, tuple[str, str]] = {
        "paused": ("p", "resume"),
        "stopped": ("p", "resume where it stopped"),
        "failed": ("R", "retry what failed"),
    }
    if state in keys:
        key, verb = keys[state]
        return display.line(" Press ", (key, "bold $accent"), f" to {verb}.")
    if state == "done" and not snapshot.iteration.remaining:
        return display.line(
            (" ✓ Done. ", "$success"), "Press ", ("7", "bold $accent"), " to launch the next iteration."
        )
    return None


class StageRail(LinePanel):
    """The six stages, and the promote gate while the iteration waits there."""

    def __init__(self) -> None:
        super().__init__("Iteration", id="rail", classes="panel")
        self._snapshot: Snapshot | None = None

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot."""
        self._snapshot = snapshot
        iteration = snapshot.iteration
        if iteration is None:
            self.set_title(display.line("Iteration"))
            self.show_lines(empty_lines(snapshot))
            return
        title = f"{iteration.title.capitalize()} · {iteration.state}"
        reason = iteration.reason if iteration.state in ("paused", "stopped", "failed", "done") else ""
        self.set_title(display.line(f"{title} · {reason}" if reason else title))
        lines = [stage_line(stage, snapshot, self.size.width) for stage in snapshot.stages]
        if snapshot.gate == "promote":
            lines.append(promote_line(snapshot, self.size.width))
        expected = expectation(snapshot)
        if expected is not None:
            lines.append(expected)
        self.show_lines(lines)

    def on_resize(self) -> None:
        """Lay out the rows for the new width."""
        super().on_resize()
        if self._snapshot is not None:
            self.show_snapshot(self._snapshot)
