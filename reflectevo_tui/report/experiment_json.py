"""Converts the numbers of an experiment to plain JSON values, for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from reflectevo_tui.report.experiment_data import ExperimentReport


def experiment_as_json(report: ExperimentReport) -> dict[str, Any]:
    """Return the numbers as plain JSON values."""
    return {
        "series": [asdict(one) for one in report.series],
        "best": None if report.best is None else report.best.name,
        "missing": list(report.missing),
        "recipes_tried": report.recipes_tried,
        "remarks": list(report.remarks),
        "references": [asdict(one) for one in report.references],
        "measured": [
            {
                "label": one.label,
                "policy": one.policy.name,
                "number": one.number,
                "kept": one.kept,
                "feedback": one.feedback,
                **{name: asdict(getattr(one, name)) for name in ("acc_t1", "acc_t2", "delta", "i_to_c", "c_to_i")},
                "floor": one.floor,
                "floors": dict(one.floors),
                "by_task": {task: [asdict(turn) for turn in turns] for task, turns in one.by_task.items()},
            }
            for one in report.measured
        ],
        "gains": {label: asdict(gain) for label, gain in report.gains},
        "baselines": {one.name: asdict(one.accuracy) for one in report.baselines},
        "points": [asdict(one) for one in report.points],
        "transfer": [asdict(one) for one in report.transfer],
        "against": [asdict(one) for one in report.against],
        "controls": [one.as_json() for one in report.controls],
        "formats": [asdict(one) for one in report.formats],
        "iterations": [
            {
                "series": one.series.title,
                "number": one.number,
                "from": one.parent,
                "child": None if one.child is None else one.child.name,
                "state": None if one.child is None else one.child.state,
                "reason": one.iteration.reason,
                "seconds": one.seconds,
            }
            for one in report.undertaken
        ],
    }
