"""Scripted training: the counterpart of the scripted generator, for tests and for trying the terminal.

Steps, checkpoints, stop, pause, resume and the policy on disk behave as in a real training; the numbers are a
made-up curve and the policy says that it is scripted. Loads no model and no library of torch's family.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING

from engine.durability import mark, publish
from engine.errors import TrainingRefused
from engine.training.adapters import ADAPTER, DETAILS, MERGED, STABLE, is_stable
from engine.training.launch import TrainingRequest, TrainingResult

if TYPE_CHECKING:
    from engine.training.callback import Control, OnIdle, OnMetrics, OnStep

_STEP_FILE = "step"


def train_scripted(
    request: TrainingRequest, control: Control, on_metrics: OnMetrics, on_step: OnStep, on_idle: OnIdle
) -> TrainingResult:
    """Go through the steps of a training without training; each takes `REFLECTEVO_SCRIPTED_DELAY` seconds.

    Raises:
        TrainingRefused: when there are fewer examples than `min_examples`.
    """
    settings = request.settings
    kept = len(request.examples)
    if kept < max(settings.min_examples, 1):
        raise TrainingRefused(f"{kept} examples are too few to train on (min_examples = {settings.min_examples})")
    total = max(1, -(-round(kept * settings.epochs) // (settings.batch_size * settings.accumulation)))
    if is_stable(request.destination):
        return TrainingResult(True, total, total, {}, kept, 0)
    delay = float(os.environ.get("REFLECTEVO_SCRIPTED_DELAY", "0"))
    request.work_dir.mkdir(parents=True, exist_ok=True)
    checkpoint = request.work_dir / _STEP_FILE
    step = int(checkpoint.read_text()) if checkpoint.exists() else 0
    values: dict[str, float] = {}
    while step < total:
        while control.is_paused() and not control.should_stop():
            on_idle()
            time.sleep(0.05)
        if control.should_stop():
            _save_step(request, step)
            return TrainingResult(False, step, total, values, kept, 0)
        time.sleep(delay)
        step += 1
        values = {"loss": 1.0 / (1 + step), "mean_token_accuracy": step / (1 + step)}
        on_metrics(step, values)
        on_step(step, total)
        if control.take_save_request() or step % settings.checkpoint_steps == 0:
            _save_step(request, step)
    _save_policy(request)
    shutil.rmtree(request.work_dir, ignore_errors=True)
    return TrainingResult(True, step, total, values, kept, 0)


def _save_step(request: TrainingRequest, step: int) -> None:
    temporary = request.work_dir / f"{_STEP_FILE}.new"
    temporary.write_text(str(step))
    temporary.replace(request.work_dir / _STEP_FILE)


def _save_policy(request: TrainingRequest) -> None:
    destination = request.destination
    shutil.rmtree(destination, ignore_errors=True)
    temporary = destination.parent / f".{destination.name}.tmp-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    for part in (ADAPTER, MERGED):
        (temporary / part).mkdir(parents=True)
    (temporary / DETAILS).write_text(json.dumps({"scripted": True, **request.details}, default=str))
    publish(temporary, destination)
    mark(destination, STABLE)
