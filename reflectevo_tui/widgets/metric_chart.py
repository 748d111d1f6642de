"""Line charts: training metrics, and accuracies by iteration. Redrawn only when points change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

from textual.app import RenderResult
from textual.content import Content
from textual_plotext import PlotextPlot

from reflectevo_tui.state.snapshot import Curve, Snapshot
from reflectevo_tui.text import display, formatting
from store.evaluation.floors import floor_value
from store.evaluation.transfer import TRANSFER

Colour = tuple[int, int, int]
FIRST: Colour = (90, 170, 255)
SECOND: Colour = (255, 175, 80)
THIRD: Colour = (150, 150, 150)


@dataclass(frozen=True, slots=True)
class Series:
    """A curve with its style. `side` is the axis it refers to; its `mark` distinguishes it without colour."""

    points: Curve
    colour: Colour
    mark: Literal["●", "○", "▪"] = "●"
    side: Literal["left", "right"] = "left"


class MetricChart(PlotextPlot):  # type: ignore[misc]  # the package carries no types
    """A chart in a titled panel. Without points it shows a message instead of empty axes."""

    ALLOW_SELECT = False

    def __init__(self, title: str, empty: str, *, id: str) -> None:
        super().__init__(id=id, classes="panel")
        self._title = display.line(title)
        self.border_title = self._title
        self._empty = empty
        self._series: tuple[Series, ...] = ()
        self._ticks: tuple[tuple[float, str], ...] = ()

    def show_series(self, title: Content, series: Sequence[Series], ticks: Sequence[tuple[float, str]] = ()) -> None:
        """Draw the curves, unless they are already shown.

        Args:
            title: Panel title, which names the curves by their marks.
            series: The curves; points that are not finite (a diverged loss) and curves without points are omitted.
            ticks: Labels of the horizontal axis; if empty, the chart chooses them.
        """
        if not self._title.is_same(title):
            self._title = title
            self.border_title = title
        finite = (replace(one, points=tuple(point for point in one.points if isfinite(point[1]))) for one in series)
        wanted = tuple(one for one in finite if one.points)
        if (wanted, tuple(ticks)) == (self._series, self._ticks):
            return
        self._series, self._ticks = wanted, tuple(ticks)
        self._draw()
        self.refresh()

    def _draw(self) -> None:
        plot = self.plt
        plot.clear_figure()
        if not self._series:  # a new iteration has no curves yet: `render` shows a message
            return
        for one in self._series:
            steps, values = [step for step, _ in one.points], [value for _, value in one.points]
            plot.plot(steps, values, marker="braille", color=one.colour, yside=one.side)
            # A few marks distinguish the curves without colour.
            every = max(len(steps) // 8, 1)
            plot.scatter(steps[::-every], values[::-every], marker=one.mark, color=one.colour, yside=one.side)
            plot.yfrequency(4, yside=one.side)
        if self._ticks:
            plot.xticks([place for place, _ in self._ticks], [label for _, label in self._ticks])
            plot.xlim(self._ticks[0][0] - 0.3, self._ticks[-1][0] + 0.3)
        else:
            steps = [step for one in self._series for step, _ in one.points]
            first, last = min(steps), max(steps)
            plot.xlim(first, max(last, first + 1))
            shown = sorted({first + (last - first) * part // 5 for part in range(6)})
            plot.xticks(shown, [str(step) for step in shown])

    def render(self) -> RenderResult:
        """Return the chart, or a message if there are no curves."""
        if not self._series or self.size.height < 4 or self.size.width < 16:
            return display.line((self._empty if not self._series else "enlarge the window to see the chart", "$quiet"))
        chart: RenderResult = super().render()
        return chart


def show_training(chart: MetricChart, snapshot: Snapshot) -> None:
    """Plot the loss on the left axis; token accuracy (SFT) or reward margin (DPO) on the right axis."""
    curves = snapshot.training
    preference = "rewards/margins" in curves
    second = curves.get("rewards/margins" if preference else "mean_token_accuracy", ())
    loss = curves.get("loss", ())
    words = [f"step {loss[-1][0]}", f"loss ● {loss[-1][1]:.4g}"] if loss else []
    if second:
        words.append(f"{'reward margin' if preference else 'token accuracy'} ○ {second[-1][1]:.4g} (right)")
    accuracies = curves.get("rewards/accuracies", ())
    if accuracies:
        words.append(f"reward accuracy {formatting.percent(accuracies[-1][1], 0)}")
    rate = curves.get("learning_rate", ())
    if rate:
        words.append(f"lr {rate[-1][1]:.1e}")
    chart.show_series(
        display.line(" · ".join(["Training", *words])),
        (Series(loss, FIRST), Series(second, SECOND, "○", side="right")),
    )


def show_accuracy(chart: MetricChart, snapshot: Snapshot) -> None:
    """Plot Acc@t1, Acc@t2 and its floor in percent, by the iteration that produced the policy."""
    first, second, floor = (_percentages(snapshot, name) for name in ("first", "second", "floor"))
    title = "Acc@t1 ● Acc@t2 ○ by iteration"
    if first and second:
        title = (
            f"Acc@t1 ● {formatting.percent(first[-1][1] / 100)} · Acc@t2 ○ {formatting.percent(second[-1][1] / 100)}"
        )
        newest = snapshot.accuracy[-1]
        if newest.oracle:
            title += f" · floor ▪ {floor_value(newest.floor)}"
        if newest.transfer:
            title += f" · {TRANSFER} {' → '.join(formatting.percent(value) for value in newest.transfer)}"
    chart.show_series(
        display.line(title),
        (Series(first, FIRST), Series(second, SECOND, "○"), Series(floor, THIRD, "▪")),
        [(float(point.iteration), f"{point.iteration} {point.policy}") for point in snapshot.accuracy],
    )


def _percentages(snapshot: Snapshot, name: Literal["first", "second", "floor"]) -> Curve:
    values = [(point.iteration, (getattr(point, name) or {}).get("value")) for point in snapshot.accuracy]
    return tuple((iteration, 100 * value) for iteration, value in values if value is not None)
