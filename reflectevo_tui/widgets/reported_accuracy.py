"""The panel "Test questions, measured once": what promoted policies reach on questions that nothing is decided on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.content import Content

from reflectevo_tui.state.snapshot import AccuracyPoint, Snapshot
from reflectevo_tui.text import display
from reflectevo_tui.widgets.line_panel import LinePanel
from store.evaluation.floors import floor_value
from store.evaluation.number_format import NOTHING, interval, percent

TITLE = "Test questions, measured once"
REMARK = "promotion is decided on dev questions, nothing on these"


def reported_lines(points: Sequence[AccuracyPoint]) -> list[Content]:
    """Format a row for each policy, the newest first, and what these numbers are for."""
    head = f"{'policy':<6}{'Acc@t1':>20}{'Acc@t2':>20}{'floor':>8}{'own retry':>10}"
    lines = [display.line((head, "$quiet"))]
    for point in reversed(points):
        oracle = floor_value(point.floor) if point.oracle else NOTHING
        retry = percent(None if point.retry is None else point.retry.get("value"))
        cells = f"{_share(point.first):>20}{_share(point.second):>20}{oracle:>8}{retry:>10}"
        lines.append(display.line((display.fitted(point.policy, 6), "bold"), cells))
    return [*lines, display.line((REMARK, "$quiet"))]


def _share(metric: Mapping[str, float | None]) -> str:
    return interval(metric.get("value"), metric.get("low"), metric.get("high"))


class ReportedAccuracy(LinePanel):
    """Shows the policies that were measured on the test questions, if promotion is decided on others."""

    def __init__(self) -> None:
        super().__init__(TITLE, id="reported", classes="panel")
        self._shown: tuple[AccuracyPoint, ...] = ()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot."""
        if snapshot.reported != self._shown:
            self._shown = snapshot.reported
            self.show_lines(reported_lines(snapshot.reported))
