"""Trains a policy from examples: its stages one after the other, then the policy directory.

A request in, a policy directory out: the interface at which training on a cluster can be added. Runs in the training
worker process. Independent of the database and the supervisor, which it reaches through `Control` and the callbacks.
The settings are those of ReflectEvo (ACL 2025 Findings, arXiv 2505.16475).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import TrainingRefused
from engine.models.loading import load_tokenizer
from engine.models.policy_directory import Weights, is_stable, read_details, save_policy
from engine.models.precision import use_one_gpu
from engine.models.quiet_libraries import quiet_libraries
from engine.models.resolve import check_chat_template
from engine.prompts.chat_format import ChatFormat, chat_format
from engine.training import checkpoints
from engine.training.checkpoints import Checkpoint
from engine.training.examples import AnyExample, Fitted, fit, one_sided, summarise_dropped
from engine.training.held_out import divide, held_out_questions
from engine.training.request import StageResult, TrainingRequest, TrainingResult, TrainingStage, stages_of
from engine.training.train_stage import StageRun, free_memory
from engine.training.validation import check_training, describe_few_examples
from store.estimates.training_steps import optimizer_steps
from store.settings import GenerationSection

if TYPE_CHECKING:
    from engine.training.trl.callback import Control, OnIdle, OnMetrics, OnStep

STAGE_METRIC = "training_stage"
"""Metric with the stage (1 or 2) of each step of a training with two stages."""


def train(
    request: TrainingRequest,
    control: Control,
    on_metrics: OnMetrics,
    on_step: OnStep,
    on_idle: OnIdle = lambda: None,
) -> TrainingResult:
    """Train the request's policy and write it to `request.destination`, resuming from the newest complete checkpoint.

    Steps are numbered consecutively over both stages of `sft-two-stage`; a finished stage is not trained again.
    Returns immediately when the destination is already complete (the process ended before the result was recorded).
    Raises TrainingRefused (settings that cannot work, too few or unfit examples), NoChatTemplate, EngineError (out of
    memory at batch 1, divergence, full disk).
    """
    if is_stable(request.destination):
        shutil.rmtree(request.work_dir, ignore_errors=True)
        return TrainingResult.load(read_details(request.destination)["training"])
    problems = check_training(request.settings, GenerationSection())
    if problems:
        raise TrainingRefused("; ".join(problems))
    stages = stages_of(request)
    check_chat_template(request.base)
    quiet_libraries()
    use_one_gpu()
    form = chat_format(request.base, load_tokenizer(request.base), request.keywords, request.system)
    prepared = _prepared(stages, form, request)
    separate = any(stage.trained != "both" for stage in stages)
    results: list[StageResult] = []
    reached: dict[str, Path] = {}
    after = ""
    for position, (stage, material) in enumerate(zip(stages, prepared, strict=True)):
        run = _stage_run(request, stage, material, form, reached, after, alone=len(stages) == 1)
        counter = _Counter(
            offset=sum(result.steps for result in results),
            later=sum(planned.steps for planned in prepared[position + 1 :]),
            stage=stage.number if len(stages) > 1 else None,
        )
        checkpoint = run.until_done(control, counter.metrics(on_metrics), counter.steps(on_step), on_idle)
        free_memory()
        result, path = _outcome(stage, material, checkpoint)
        results.append(result)
        reached[stage.trained] = path
        after = run.fingerprint()
        total = counter.offset + result.total_steps + counter.later
        if not result.finished:
            return TrainingResult(False, tuple(results), total, separate)
    done = TrainingResult(True, tuple(results), total, separate)
    details = {
        **request.details,
        "setting": request.setting,
        "method": request.settings.method,
        "separate": separate,
        "seed": request.seed,
        "training": asdict(done),
    }
    save_policy(_weights(request, reached), request.destination, details, merge=request.merge)
    shutil.rmtree(request.work_dir, ignore_errors=True)
    return done


@dataclass(frozen=True)
class _Material:
    """The examples of one stage, without the dropped ones."""

    kept: tuple[AnyExample, ...]
    held_out: tuple[AnyExample, ...]
    dropped: tuple[tuple[int, str], ...]
    steps: int
    """Optimizer steps without early stopping."""


@dataclass(frozen=True)
class _Counter:
    """Converts step numbers of one stage into those of the training."""

    offset: int
    """Steps of the previous stages."""
    later: int
    """Steps of the remaining stages."""
    stage: int | None
    """Value of `STAGE_METRIC`; None when there is only one stage."""

    def metrics(self, on_metrics: OnMetrics) -> OnMetrics:
        marker = {} if self.stage is None else {STAGE_METRIC: float(self.stage)}
        return lambda step, values: on_metrics(self.offset + step, {**values, **marker})

    def steps(self, on_step: OnStep) -> OnStep:
        return lambda step, total: on_step(self.offset + step, self.offset + total + self.later)


def _prepared(stages: Sequence[TrainingStage], form: ChatFormat, request: TrainingRequest) -> list[_Material]:
    """Return the examples of every stage, checked before the first one starts. Raises TrainingRefused."""
    fitted = [_fitted(stage, form) for stage in stages]
    # The same questions are held out in all stages, so that stage 1 never trains on a held-out question of stage 2.
    every = [example for one in fitted for example in one.kept]
    apart = held_out_questions(every, request.settings.validation_share, request.seed)
    prepared = []
    for stage, one in zip(stages, fitted, strict=True):
        kept, held_out = divide(one.kept, apart)
        if not kept or (apart and not held_out):
            raise TrainingRefused(
                f"validation_share = {request.settings.validation_share} leaves {len(kept)} examples to train on and "
                f"{len(held_out)} to measure on. Generate more, or set it to 0."
            )
        if refusal := one_sided(kept):
            raise TrainingRefused(refusal)
        batch = stage.settings.batch_size * stage.settings.accumulation
        steps = optimizer_steps(len(kept), batch, stage.settings.epochs)
        prepared.append(_Material(kept, held_out, one.dropped, steps))
    return prepared


def _fitted(stage: TrainingStage, form: ChatFormat) -> Fitted[AnyExample]:
    fitted = fit(stage.examples, form, stage.settings.max_length)
    refusal = describe_few_examples(len(fitted.kept), stage.settings, summarise_dropped(fitted.dropped))
    if refusal is not None:
        raise TrainingRefused(refusal)
    return fitted


def _stage_run(
    request: TrainingRequest,
    stage: TrainingStage,
    material: _Material,
    form: ChatFormat,
    reached: dict[str, Path],
    after: str,
    *,
    alone: bool,
) -> StageRun:
    run = StageRun(
        setting=request.setting,
        settings=stage.settings,
        base=request.base,
        start=stage.start,
        reference_base=request.reference_base,
        examples=material.kept,
        held_out=material.held_out,
        seed=request.seed,
        work_dir=request.work_dir if alone else request.work_dir / f"stage{stage.number}",
        form=form,
        after=after,
    )
    if not stage.continues:
        return run
    if stage.settings.method == "full":
        return replace(run, base=reached[stage.trained])
    return replace(run, start=reached[stage.trained])


def _outcome(stage: TrainingStage, material: _Material, checkpoint: Checkpoint) -> tuple[StageResult, Path]:
    """Return the result of a stage and the checkpoint to use: that of the lowest held-out loss, or the last."""
    finished = checkpoint.finished(stage.settings.patience)
    early = finished and checkpoint.step < checkpoint.total_steps
    best = checkpoints.best(checkpoint) if finished else None
    result = StageResult(
        number=stage.number,
        trained=stage.trained,
        steps=checkpoint.step,
        total_steps=checkpoint.step if early else checkpoint.total_steps,
        finished=finished,
        final=checkpoint.last_metrics,
        kept=len(material.kept),
        held_out=len(material.held_out),
        dropped=material.dropped,
        batch_size=checkpoint.batch_size,
        stopped_early=early,
        best_step=best[1] if best else None,
        best_loss=best[2] if best else None,
    )
    return result, best[0] if best else checkpoint.path


def _weights(request: TrainingRequest, reached: dict[str, Path]) -> Weights:
    """Return the weights of the policy: a role that was not trained keeps its parent's adapter."""
    if "both" in reached:
        return Weights(request.base, reached["both"], full=request.settings.method == "full")
    reasoner, reflector = (
        reached.get("reasoner", request.parent_adapter),
        reached.get("reflector", request.parent_reflector),
    )
    if reasoner is None:
        raise TrainingRefused(
            "the parent's reflector has an adapter and its reasoner has none; start from another policy."
        )
    return Weights(request.base, reasoner, reflector)
