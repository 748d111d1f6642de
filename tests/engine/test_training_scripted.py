"""Tests of scripted trainings: they lay out policies as real ones do, so that iterations can be tested without a
model.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import TrainingRefused
from engine.models.policy_directory import is_stable, read_details
from engine.training.request import TrainingRequest, TrainingResult
from engine.training.scripted import train_scripted
from engine.training.train import STAGE_METRIC
from store.estimates.training_steps import planned_steps
from tests.engine.training_process import PAIRS, Kind, request_in
from tests.engine.training_runs import Metrics, Scripted

LAYOUTS: list[tuple[Kind, dict[str, Any], list[str]]] = [
    ("sft", {}, ["adapter", "merged"]),
    ("sft", {"setting": "sft-qa"}, ["adapter", "merged"]),
    ("dpo", {}, ["adapter", "merged"]),
    ("dpo", {"setting": "dpo-judge"}, ["adapter", "merged"]),
    ("full", {}, ["merged"]),
    ("two-stage", {}, ["adapter", "merged"]),
    ("two-stage", {"adapters": "separate"}, ["adapter", "merged", "reflector/adapter", "reflector/merged"]),
]


def changed(request: TrainingRequest, **settings: Any) -> TrainingRequest:
    made = request.settings.model_copy(update=settings)
    return replace(request, settings=made, setting=made.setting if "setting" in settings else request.setting)


def run(request: TrainingRequest, control: Scripted | None = None) -> tuple[TrainingResult, Metrics]:
    control = control or Scripted()
    metrics: Metrics = {}
    return train_scripted(request, control, metrics.__setitem__, control.on_step, control.on_idle), metrics


@pytest.mark.parametrize(("kind", "settings", "parts"), LAYOUTS)
def test_layout_and_steps_are_those_of_a_real_training(
    kind: Kind, settings: dict[str, Any], parts: list[str], tmp_path: Path
) -> None:
    request = changed(request_in(tmp_path, tmp_path / "none", kind), **settings)
    result, metrics = run(request)
    total = {"sft": 12, "full": 12, "dpo": 8, "two-stage": 12}[kind]
    assert (result.completed, result.steps, result.total_steps, sorted(metrics)) == (
        True,
        total,
        total,
        list(range(1, total + 1)),
    )
    folders = [str(path.relative_to(request.destination)) for path in request.destination.rglob("*") if path.is_dir()]
    assert sorted(set(folders) - {"reflector"}) == parts
    details = read_details(request.destination)
    assert (details["scripted"], details["separate"]) == (True, "reflector/adapter" in parts)
    assert ("rewards/margins" in metrics[1]) == (kind == "dpo")
    assert run(request) == (result, {})


def test_a_stop_in_stage_two_goes_on_there(tmp_path: Path) -> None:
    request = changed(
        request_in(tmp_path, tmp_path / "none", "two-stage"), validation_share=0.25, evaluation_steps=2, epochs=2.0
    )
    result, metrics = run(request, Scripted(stop_at=8))
    assert (result.completed, [stage.steps for stage in result.stages], result.total_steps) == (False, [6, 2], 12)
    assert not is_stable(request.destination)
    assert [metrics[step][STAGE_METRIC] for step in (6, 7)] == [1.0, 2.0]
    assert [step for step in metrics if "eval_loss" in metrics[step]] == [2, 4, 6, 8]
    result, metrics = run(request)
    assert (result.completed, result.steps, min(metrics)) == (True, 12, 9)
    assert [(stage.kept, stage.held_out, stage.finished) for stage in result.stages] == [(12, 4, True)] * 2


def test_it_refuses_what_a_real_training_refuses(tmp_path: Path) -> None:
    request = request_in(tmp_path, tmp_path / "none")
    with pytest.raises(TrainingRefused, match="too few"):
        run(changed(request, min_examples=17))
    with pytest.raises(TrainingRefused, match="Example rows only"):
        run(replace(request, examples=PAIRS))


@pytest.mark.parametrize("kind", ["sft", "two-stage", "dpo"])
@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 1.0},
        {"epochs": 3.0, "batch_size": 5},
        {"epochs": 2.5, "batch_size": 3, "accumulation": 2},
        {"epochs": 2.0, "batch_size": 64},
        {"epochs": 2.0, "batch_size": 3, "validation_share": 0.2},
    ],
)
def test_a_training_takes_the_steps_that_were_planned(kind: Kind, settings: dict[str, Any], tmp_path: Path) -> None:
    """The gate shows this number before an operator decides."""
    request = changed(request_in(tmp_path, tmp_path / "none", kind), **settings)
    result, _ = run(request)
    assert result.total_steps == planned_steps(request.settings, len(request.examples))
