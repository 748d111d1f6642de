"""Generation throughput: tokens per second with history, requests in flight, queue length, prefix cache hit rate."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.widgets.line_panel import LinePanel


def number(detail: Mapping[str, object], name: str) -> float | None:
    """Return a gauge as a number; None if it is missing or not a number."""
    value = detail.get(name)
    return float(value) if isinstance(value, int | float) else None


def gauge_lines(snapshot: Snapshot) -> list[Content]:
    """Format the two lines of gauges."""
    heartbeat = snapshot.heartbeats.get("rollout")
    history = formatting.sparkline(snapshot.throughput, 24)
    if heartbeat is None:
        return [
            display.line(("no generation now", "$quiet")),
            display.line(*([("recent throughput (tokens/s)  ", "$quiet"), (history, "$primary")] if history else [])),
        ]
    detail = heartbeat.detail
    speed, cache = number(detail, "tokens_per_s"), number(detail, "prefix_cache_hit")
    first: list[Part] = [
        (f"{formatting.compact(speed) if speed is not None else '–':>6}", "bold"),
        (" tok/s ", "$quiet"),
        (f"{history:<24}", "$primary"),
        ("  in flight ", "$quiet"),
        (f"{number(detail, 'in_flight') or 0:,.0f}", "bold"),
        ("  queued ", "$quiet"),
        (f"{number(detail, 'queued') or 0:,.0f}", "bold"),
    ]
    second: list[Part] = [
        (heartbeat.state, ""),
        ("  prefix cache ", "$quiet"),
        (formatting.percent(cache, 0), "bold"),
        ("  generator: ", "$quiet"),
        str(detail.get("generator", "–")),
        ("  policy: ", "$quiet"),
        str(detail.get("policy", "–")),
    ]
    return [display.line(*first), display.line(*second)]


class GenerationGauges(LinePanel):
    """The two lines of gauges."""

    def __init__(self) -> None:
        super().__init__("Generation", id="generation", classes="panel")

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot."""
        self.show_lines(gauge_lines(snapshot))
