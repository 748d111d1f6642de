"""Sections of an experiment's report on its analyses: results over a varied setting, and transfer to unseen tasks."""

from __future__ import annotations

from reflectevo_tui.experiment.paired_estimates import Estimate
from reflectevo_tui.report.document import Block, Cell, Chart, Line, Paragraph, Section, Table
from reflectevo_tui.report.document import Point as ChartPoint
from reflectevo_tui.report.experiment_data import ExperimentReport, Point
from reflectevo_tui.report.formatting import NOT_MEASURED, percent, points
from store.evaluation import number_format

NO_FLOOR = "no floor"

_LINES = {"acc_t1": "Acc@t1", "acc_t2": "Acc@t2", "floor": "floor of Acc@t2", "retry": "own retry"}


def over_setting(experiment: ExperimentReport) -> Section | None:
    """Return the section with the results over the values of the varied setting; None if none is named."""
    asked = experiment.settings.experiment
    if asked is None or asked.varies is None or len(experiment.points) < 2:
        return None
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            one.value,
            one.label,
            " + ".join("none" if number is None else f"{number:,}" for number in one.examples) or "–",
            _percent(one.acc_t1),
            _percent(one.acc_t2),
            _floor(one.floor),
            _percent(one.retry),
            _points(one.above_retry),
        )
        for one in experiment.points
    )
    head = (
        asked.varies,
        "Series",
        "Examples trained on",
        "Acc@t1",
        "Acc@t2",
        "Floor of Acc@t2",
        "Own retry",
        "Acc@t2 − own retry (points)",
    )
    note = (
        "The policy that each series ends with, mean over the trained tasks, oracle protocol. 'Examples trained on' "
        "are those of each iteration: a maximum is not always reached, and series that differ in another setting may "
        "differ in their numbers of examples too. The own retry is a second try without a reflection. Where Acc@t2 is "
        "not above its floor, or not above the own retry, a rise over the values doesn't show better reflections."
    )
    return Section(
        f"Results over {asked.varies}",
        (Table(head, rows, labels=2), _chart(experiment, asked.varies), Paragraph(note, "note")),
    )


def _chart(experiment: ExperimentReport, varies: str) -> Chart:
    ticks = tuple("base" if one.value == "–" else one.value for one in experiment.points)
    lines = []
    for name, label in _LINES.items():
        made = [_chart_point(place, one, name) for place, one in enumerate(experiment.points, start=1)]
        if any(made):
            lines.append(Line(label, tuple(point for point in made if point is not None)))
    words = "; ".join(
        f"{line.name}: {' → '.join(number_format.percent(point.y / 100) for point in line.points)}" for line in lines
    )
    return Chart("experiment-over-setting", f"Accuracy over {varies}", varies, "percent", tuple(lines), words, ticks)


def _chart_point(place: int, one: Point, name: str) -> ChartPoint | None:
    if name == "floor":
        return None if one.floor is None else ChartPoint(place, 100 * one.floor)
    found: Estimate | None = getattr(one, name)
    if found is None or found.value is None or found.low is None or found.high is None:
        return None
    return ChartPoint(place, 100 * found.value, 100 * found.low, 100 * found.high)


def transfer(experiment: ExperimentReport) -> Section | None:
    """Return the section on the tasks that are only measured; None in a run without them."""
    if not experiment.transfer:
        return None
    blocks: list[Block] = []
    for feedback in dict.fromkeys(one.feedback for one in experiment.transfer):
        chosen = [one for one in experiment.transfer if one.feedback == feedback]
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (
                one.label,
                _percent(one.acc_t1),
                _percent(one.acc_t2),
                _floor(one.floor) if feedback == "oracle" else "–",
                _percent(one.retry),
                "–" if one.change_t1 is None else _points(one.change_t1),
                "–" if one.change_t2 is None else _points(one.change_t2),
            )
            for one in chosen
        )
        head = ("Series", "Acc@t1", "Acc@t2", "Floor of Acc@t2", "Own retry", "Acc@t1 − base", "Acc@t2 − base")
        blocks.append(Table(head, rows, labels=1, title=f"Mean over the transfer tasks, {feedback} protocol"))
        tasks = sorted({task for one in chosen for task in one.by_task})
        by_task: tuple[tuple[Cell, ...], ...] = tuple(
            (
                one.label,
                *(
                    _percent(one.by_task[task][turn]) if task in one.by_task else NOT_MEASURED
                    for task in tasks
                    for turn in (0, 1)
                ),
            )
            for one in chosen
        )
        turns = [f"{task}, {turn}" for task in tasks for turn in ("Acc@t1", "Acc@t2")]
        blocks.append(Table(("Series", *turns), by_task, labels=1, title=f"Transfer tasks, {feedback} protocol"))
    note = (
        "Tasks with role = 'test' are never trained on and nothing is decided on them. No other table's mean contains "
        "them. Without training questions there is no constant answer to guess: a task has a floor only if the options "
        "of its questions are known."
    )
    return Section("Transfer to tasks that were not trained on", (*blocks, Paragraph(note, "note")))


def _floor(value: float | None) -> str:
    return number_format.percent(value, missing=NO_FLOOR)


def _percent(estimate: Estimate | None) -> Cell:
    return NOT_MEASURED if estimate is None or estimate.value is None else percent(estimate.as_metric())


def _points(estimate: Estimate | None) -> Cell:
    return NOT_MEASURED if estimate is None or estimate.value is None else points(estimate.as_metric())
