"""One training from examples to a policy on disk: resume, train, survive a full memory, save.

The training launcher is the seam where a cluster plugs in later: a request goes in, a policy directory comes out.
Runs in the training child. Knows nothing of the database or the supervisor; they are behind `Control` and the
callbacks. The settings are those of ReflectEvo (ACL 2025 Findings, arXiv 2505.16475).
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError, TrainingRefused
from engine.models import check_chat_template
from engine.quiet import quiet_libraries
from engine.training import checkpoints
from engine.training.adapters import is_stable, load_for_training, load_tokenizer, read_details, save_policy
from engine.training.arguments import Batch, shared_arguments
from engine.training.examples import AnyExample, Example, Pair, fit
from engine.training.precision import choose_precision, use_one_gpu
from store.settings import TrainingSection, TrainingSetting

if TYPE_CHECKING:
    from engine.training.callback import Control, OnIdle, OnMetrics, OnStep

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRequest:
    """Everything that defines one training."""

    setting: TrainingSetting
    base: Path
    """Directory of the base model: never a merged policy, so that adapters stay relative to one base."""
    parent_adapter: Path | None
    """Adapter directory of the parent policy, continued; None starts a new adapter on the base."""
    examples: tuple[AnyExample, ...]
    settings: TrainingSection
    seed: int
    work_dir: Path
    """For checkpoints; emptied when the policy is on disk."""
    destination: Path
    """Policy directory to write."""
    details: Mapping[str, object] = field(default_factory=dict)
    """Written to `policy.json` beside the result; JSON values only."""
    merge: bool = True
    """Also write merged weights; off where the server takes base + LoRA."""


@dataclass(frozen=True)
class TrainingResult:
    """What became of a training."""

    completed: bool
    """False when it was stopped: a checkpoint is in the work directory and the same request resumes it."""
    steps: int
    """Optimizer steps done, over all resumes."""
    total_steps: int
    final: dict[str, float]
    """Metrics of the last optimizer step."""
    kept: int
    dropped: int
    """Examples left out because they are too long or don't fit the chat template."""
    dropped_reasons: tuple[tuple[int, str], ...] = ()
    batch_size: int = 0
    """Examples per forward pass in the end: smaller than asked for when memory ran out."""


def train(
    request: TrainingRequest,
    control: Control,
    on_metrics: OnMetrics,
    on_step: OnStep,
    on_idle: OnIdle = lambda: None,
) -> TrainingResult:
    """Train the request's policy and write it to `request.destination`, resuming from the newest whole checkpoint.

    Returns at once when the destination is whole already (ended between saving and recording it). When memory runs
    out the batch is halved and accumulation doubled: the examples of a step and their order stay the same.
    Raises TrainingRefused (too few or unfit examples), NoChatTemplate, EngineError (memory out at batch 1,
    diverged, disk full).
    """
    if is_stable(request.destination):
        shutil.rmtree(request.work_dir, ignore_errors=True)
        return _result_from(read_details(request.destination)["training"])
    wanted = Pair if request.setting == "dpo-verdict" else Example
    if not all(isinstance(example, wanted) for example in request.examples):
        raise TrainingRefused(f"{request.setting} trains on {wanted.__name__} rows only; curation gave others.")
    check_chat_template(request.base)
    quiet_libraries()
    use_one_gpu()
    tokenizer = load_tokenizer(request.base)
    fitted = fit(request.examples, tokenizer, request.settings.max_length)
    if len(fitted.kept) < max(request.settings.min_examples, 1):
        raise TrainingRefused(
            f"{len(fitted.kept)} examples are too few to train on ({len(fitted.dropped)} dropped as over-long or "
            f"unfit; min_examples = {request.settings.min_examples}). Generate more, or relax curation."
        )
    checkpoints.claim(request.work_dir, _fingerprint(request))
    run = _Run(request, tokenizer, fitted.kept, control, on_metrics, on_step, on_idle)
    model, progress, batch = run.until_done()
    result = TrainingResult(
        completed=progress.step >= progress.total_steps,
        steps=progress.step,
        total_steps=progress.total_steps,
        final=progress.metrics,
        kept=len(fitted.kept),
        dropped=len(fitted.dropped),
        dropped_reasons=fitted.dropped,
        batch_size=batch.size,
    )
    if not result.completed:
        return result
    details = {**request.details, "setting": request.setting, "seed": request.seed, "training": asdict(result)}
    save_policy(model, tokenizer, request.destination, details, merge=request.merge)
    shutil.rmtree(request.work_dir, ignore_errors=True)
    return result


@dataclass(frozen=True)
class _Progress:
    step: int
    total_steps: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class _Run:
    """One training with everything it needs, tried with smaller batches until memory suffices."""

    request: TrainingRequest
    tokenizer: Any
    examples: tuple[AnyExample, ...]
    control: Control
    on_metrics: OnMetrics
    on_step: OnStep
    on_idle: OnIdle

    def until_done(self) -> tuple[Any, _Progress, Batch]:
        import torch
        from accelerate.utils.memory import should_reduce_batch_size  # type: ignore[import-untyped]

        batch = self._first_batch()
        while batch is not None:
            try:
                return (*self._once(batch), batch)
            except RuntimeError as error:
                if not isinstance(error, torch.OutOfMemoryError) and not should_reduce_batch_size(error):
                    raise
            smaller = batch.smaller()  # outside the handler: its traceback would keep the model in memory
            _log.warning("out of memory with %s; going on with %s", batch, smaller)
            batch = smaller
            _free_memory()
        raise EngineError(
            "out of memory with a single example per forward pass. Lower max_length, switch gradient_checkpointing "
            "on, or use a smaller model."
        )

    def _first_batch(self) -> Batch | None:
        """The batch of the settings, or the smaller one that a checkpoint shows was needed."""
        batch: Batch | None = Batch(self.request.settings.batch_size, self.request.settings.accumulation)
        checkpoint = checkpoints.newest(self.request.work_dir)
        while batch is not None and checkpoint is not None and batch.size > checkpoint.batch_size:
            batch = batch.smaller()
        return batch

    def _once(self, batch: Batch) -> tuple[Any, _Progress]:
        """Train from the newest checkpoint to the end or to a stop. Raises RuntimeError when memory runs out."""
        from transformers import PrinterCallback, set_seed

        from engine.training.callback import Supervision

        request = self.request
        precision = choose_precision()
        checkpoint = checkpoints.newest(request.work_dir)
        if checkpoint is not None and checkpoint.finished:
            model = load_for_training(request.base, checkpoint.path, request.settings, precision)
            return model, _Progress(checkpoint.step, checkpoint.total_steps, checkpoint.last_metrics)
        set_seed(request.seed)
        model = load_for_training(request.base, request.parent_adapter, request.settings, precision)
        supervision = Supervision(self.control, self.on_metrics, self.on_step, self.on_idle)
        shared = shared_arguments(
            request.settings, batch, precision, request.seed, request.work_dir, examples=len(self.examples)
        )
        build = _trainer(request.setting)
        quiet_libraries()
        if precision.device == "cpu":
            from engine.training.completion_logits import score_completions_only

            score_completions_only()
        trainer = build(model, self.tokenizer, self.examples, request.settings, shared, [supervision])
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
        state = trainer.state
        logged = [entry for entry in state.log_history if "loss" in entry]
        metrics = {name: float(value) for name, value in logged[-1].items() if name != "step"} if logged else {}
        return trainer.model, _Progress(state.global_step, state.max_steps, metrics)


def _trainer(setting: TrainingSetting) -> Callable[..., Any]:
    """The registry of settings: what builds the trainer of each. Imported on demand, TRL is heavy."""
    from engine.training.dpo import train_dpo
    from engine.training.sft import train_sft

    builders: dict[TrainingSetting, Callable[..., Any]] = {"sft-one-stage": train_sft, "dpo-verdict": train_dpo}
    return builders[setting]


def _fingerprint(request: TrainingRequest) -> str:
    """What must be equal for a checkpoint to be continued: setting, data, seed, parent and training settings."""
    free = {"checkpoint_steps", "gradient_checkpointing", "min_examples"}
    identity = {
        "setting": request.setting,
        "base": str(request.base),
        "parent": str(request.parent_adapter),
        "seed": request.seed,
        "settings": request.settings.model_dump(mode="json", exclude=free),
        "examples": [asdict(example) for example in request.examples],
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _result_from(recorded: Mapping[str, Any]) -> TrainingResult:
    reasons = tuple((int(example), str(reason)) for example, reason in recorded["dropped_reasons"])
    return TrainingResult(**{**recorded, "dropped_reasons": reasons})


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
