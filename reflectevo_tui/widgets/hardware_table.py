"""Hardware usage: one line per GPU, then CPU, memory and disk."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.widgets.generation_gauges import number
from reflectevo_tui.widgets.line_panel import LinePanel

LITTLE_DISK = 2 * 2**30
"""Free disk space, in bytes, below which the disk is highlighted."""


def _gauge(share: float | None, width: int = 10) -> list[Part]:
    if share is None:
        return [("░" * width, "$quiet"), "   – %"]
    filled, empty = formatting.meter(share, width)
    style = "$error" if share > 0.95 else "$success"
    return [(filled, style), (empty, "$rule"), f" {100 * share:3.0f} %"]


def _of(used: float | None, total: float | None) -> str:
    if used is None or not total:
        return "–"
    return f"{formatting.gibibytes(used)}/{formatting.gibibytes(total)} GiB"


def gpu_line(position: int, gpu: Mapping[str, object]) -> Content:
    """Format one GPU: utilization, memory, temperature, power."""
    load = number(gpu, "utilization")
    temperature, power = number(gpu, "temperature"), number(gpu, "power")
    return display.line(
        f"{position} {display.fitted(str(gpu.get('name', 'GPU')), 12)} ",
        *_gauge(None if load is None else load / 100),
        f"  {_of(number(gpu, 'memory_used'), number(gpu, 'memory_total'))}",
        "" if temperature is None else f"  {temperature:.0f} °C",
        "" if power is None else f"  {power:.0f} W",
    )


def hardware_lines(snapshot: Snapshot) -> list[Content]:
    """Format the lines of the table; the last measurement of a stopped engine is not shown as a current one."""
    heartbeat = snapshot.heartbeats.get("engine")
    if heartbeat is None or snapshot.engine.state == "stopped":
        return [
            display.line(
                ("measured by the engine; press ", "$quiet"),
                ("e", "bold $accent"),
                (" to start it", "$quiet"),
            )
        ]
    detail = heartbeat.detail
    gpus = detail.get("gpus")
    found = [gpu for gpu in gpus if isinstance(gpu, Mapping)] if isinstance(gpus, list) else []
    lines = [gpu_line(position, gpu) for position, gpu in enumerate(found)]
    cpu, disk = number(detail, "cpu_percent"), number(detail, "disk_free")
    used, total = number(detail, "memory_used"), number(detail, "memory_total")
    parts: list[Part] = ["CPU ", *_gauge(None if cpu is None else cpu / 100), "  RAM "]
    parts += [*_gauge(used / total if used is not None and total else None), f"  {_of(used, total)}"]
    if disk is not None:
        style = "bold $error" if disk < LITTLE_DISK else "$quiet"
        parts.append((f"  disk {formatting.gibibytes(disk)} GiB free", style))
    lines.append(display.line(*parts))
    return lines


class HardwareTable(LinePanel):
    """The hardware usage measured by the engine."""

    def __init__(self) -> None:
        super().__init__("Hardware", id="hardware", classes="panel")

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot."""
        self.show_lines(hardware_lines(snapshot))
