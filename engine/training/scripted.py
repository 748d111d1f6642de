"""Scripted training: the counterpart of the scripted generator, for tests and for trying out the terminal.

Stages, steps, checkpoints, stop, pause, resume and the layout of the policy on disk are those of a real training; the
metrics are a synthetic curve, and the policy is marked as scripted. Loads neither a model nor torch.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import TrainingRefused
from engine.models.policy_directory import ADAPTER, MERGED, REFLECTOR, is_stable, read_details, write_directory
from engine.training.examples import one_sided
from engine.training.held_out import divide, held_out_questions
from engine.training.request import StageResult, TrainingRequest, TrainingResult, TrainingStage, stages_of
from engine.training.train import STAGE_METRIC
from engine.training.validation import describe_few_examples
from store.curation.training_settings import TRAINING_SETTINGS
from store.estimates.formulas import optimizer_steps
from store.settings import TrainingSetting
from store.workspace import write_file

if TYPE_CHECKING:
    from engine.training.trl.callback import Control, OnIdle, OnMetrics, OnStep

_STEP_FILE = "step"


def train_scripted(
    request: TrainingRequest, control: Control, on_metrics: OnMetrics, on_step: OnStep, on_idle: OnIdle
) -> TrainingResult:
    """Run the steps of a training without training; each takes `REFLECTEVO_SCRIPTED_DELAY` seconds.

    Raises:
        TrainingRefused: When a stage has fewer examples than `min_examples`, or the parent does not fit the setting.
    """
    if is_stable(request.destination):
        return TrainingResult.load(read_details(request.destination)["training"])
    stages = stages_of(request)
    every = [example for stage in stages for example in stage.examples]
    apart = held_out_questions(every, request.settings.validation_share, request.seed)
    plan = [_planned(stage, apart) for stage in stages]
    total = sum(result.total_steps for result in plan)
    separate = any(stage.trained != "both" for stage in stages)
    delay = float(os.environ.get("REFLECTEVO_SCRIPTED_DELAY", "0"))
    request.work_dir.mkdir(parents=True, exist_ok=True)
    checkpoint = request.work_dir / _STEP_FILE
    step = int(checkpoint.read_text()) if checkpoint.exists() else 0
    on_step(step, total)
    while step < total:
        while control.is_paused() and not control.should_stop():
            on_idle()
            time.sleep(0.05)
        if control.should_stop():
            _save_step(request, step)
            return TrainingResult(False, _reached(plan, step, request.setting), total, separate)
        time.sleep(delay)
        step += 1
        values = _values(request.setting, step)
        if len(plan) > 1:
            values[STAGE_METRIC] = 1.0 if step <= plan[0].total_steps else 2.0
        if apart and (step % request.settings.evaluation_steps == 0 or step == total):
            values["eval_loss"] = 1.5 / (1 + step)
        on_metrics(step, values)
        on_step(step, total)
        if control.take_save_request() or step % request.settings.checkpoint_steps == 0:
            _save_step(request, step)
    result = TrainingResult(True, _reached(plan, total, request.setting), total, separate)
    details = {
        **request.details,
        "scripted": True,
        "setting": request.setting,
        "method": request.settings.method,
        "separate": separate,
        "training": asdict(result),
    }
    write_directory(request.destination, details, lambda directory: _lay_out(directory, request, separate=separate))
    shutil.rmtree(request.work_dir, ignore_errors=True)
    return result


def _planned(stage: TrainingStage, apart: frozenset[str]) -> StageResult:
    """Return the result of a stage before its first step."""
    settings = stage.settings
    kept, held_out = divide(stage.examples, apart)
    refusal = describe_few_examples(len(kept), settings) or one_sided(kept)
    if refusal is not None:
        raise TrainingRefused(refusal)
    steps = optimizer_steps(len(kept), settings.batch_size * settings.accumulation, settings.epochs)
    return StageResult(
        number=stage.number,
        trained=stage.trained,
        steps=0,
        total_steps=steps,
        finished=False,
        final={},
        kept=len(kept),
        held_out=len(held_out),
        dropped=(),
        batch_size=settings.batch_size,
    )


def _reached(plan: list[StageResult], step: int, setting: TrainingSetting) -> tuple[StageResult, ...]:
    """Return the results of all stages after `step` steps of the training."""
    found = []
    before = 0
    for stage in plan:
        done = min(max(step - before, 0), stage.total_steps)
        final = _values(setting, before + done) if done else {}
        found.append(replace(stage, steps=done, finished=done == stage.total_steps, final=final))
        before += stage.total_steps
    return tuple(found)


def _values(setting: TrainingSetting, step: int) -> dict[str, float]:
    if TRAINING_SETTINGS[setting].needs_reference:
        return {"loss": 0.7 / (1 + step), "rewards/margins": step / 10, "rewards/accuracies": step / (1 + step)}
    return {"loss": 1.0 / (1 + step), "mean_token_accuracy": step / (1 + step)}


def _save_step(request: TrainingRequest, step: int) -> None:
    write_file(request.work_dir / _STEP_FILE, str(step))


def _lay_out(directory: Path, request: TrainingRequest, *, separate: bool) -> None:
    parts = [Path(MERGED)] if request.settings.method == "full" else [Path(ADAPTER), Path(MERGED)]
    if separate:
        parts += [Path(REFLECTOR, ADAPTER), Path(REFLECTOR, MERGED)]
    for part in parts:
        (directory / part).mkdir(parents=True)
