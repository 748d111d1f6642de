"""The panel "Reflections": diversity, grounding and novelty of the reflections of the newest iterations."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.text import display
from reflectevo_tui.widgets.line_panel import LinePanel
from store.curation.reflection_measures import HEAD, ReflectionMeasures, cells

NEWEST = 4
"""Number of iterations shown."""

_TITLE = "Reflections by iteration"


def reflection_lines(measures: Mapping[int, ReflectionMeasures]) -> list[Content]:
    """Format the newest iterations, newest first, so that a small panel shows the current one."""
    newest = sorted(measures, reverse=True)[:NEWEST]
    head = "".join(f"  {title:>{_width(title)}}" for title in HEAD)
    lines = [display.line((f"{'':>4}{head}", "$quiet"))]
    for number in newest:
        row = zip(HEAD, cells(measures[number]), strict=True)
        lines.append(
            display.line((f"{number:>4}", "bold"), "".join(f"  {cell:>{_width(title)}}" for title, cell in row))
        )
    return lines


def _width(title: str) -> int:
    return max(len(title), 6)


class ReflectionPanel(LinePanel):
    """Shows the measures that curation stored; hidden until there are any."""

    def __init__(self) -> None:
        super().__init__(_TITLE, id="reflections", classes="panel")
        self._shown: Mapping[int, ReflectionMeasures] | None = None

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot."""
        if snapshot.reflections == self._shown:
            return
        self._shown = snapshot.reflections
        self.show_lines(reflection_lines(snapshot.reflections))
