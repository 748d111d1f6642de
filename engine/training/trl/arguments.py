"""Converts training settings to the arguments that all TRL trainers share.

Overrides the unwanted defaults of TRL and transformers: no truncation, no reports, no progress bars, bfloat16 only
where the hardware computes in it. Independent of data and models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.models.precision import Precision
from store.estimates.formulas import optimizer_steps
from store.settings import TrainingSection

CHECKPOINTS_KEPT = 2
"""The newest and the one before, in case the newest is incomplete; one more when the best is kept as well."""


@dataclass(frozen=True)
class Batch:
    """How an optimizer step is split into forward passes."""

    size: int
    """Examples per forward pass on one device."""
    accumulation: int
    """Forward passes per optimizer step."""

    def smaller(self) -> Batch | None:
        """Return about half the size with the same examples per optimizer step; None when the size is 1."""
        examples = self.size * self.accumulation
        sizes = [size for size in range(1, self.size // 2 + 1) if examples % size == 0]
        return Batch(sizes[-1], examples // sizes[-1]) if sizes else None


def shared_arguments(
    settings: TrainingSection,
    batch: Batch,
    precision: Precision,
    seed: int,
    work_dir: Path,
    *,
    examples: int,
    measured: bool = False,
) -> dict[str, Any]:
    """Return keyword arguments for SFTConfig, DPOConfig and KTOConfig (names of TRL 1.16 and transformers 5.19).

    With `measured`, a held-out loss is measured every `evaluation_steps` and at the end.
    """
    steps = optimizer_steps(examples, batch.size * batch.accumulation, settings.epochs)
    schedule = "constant_with_warmup" if settings.schedule == "constant" and settings.warmup else settings.schedule
    return {
        "output_dir": str(work_dir),
        "per_device_train_batch_size": batch.size,
        "gradient_accumulation_steps": batch.accumulation,
        "learning_rate": settings.peak_learning_rate,
        "num_train_epochs": settings.epochs,
        # Rounded down: transformers rounds a ratio up, so that a training of one step would have learning rate 0.
        "warmup_steps": int(settings.warmup * steps),
        "lr_scheduler_type": schedule,
        "weight_decay": settings.weight_decay,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "max_length": None,  # longer examples were dropped and counted before; TRL would truncate them
        "bf16": precision.autocast,
        "fp16": False,
        "use_cpu": precision.device == "cpu",
        "dataloader_pin_memory": precision.device == "cuda",
        "seed": seed,
        "data_seed": seed,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a diverged loss must be reported, not averaged away
        "save_strategy": "steps",
        "save_steps": settings.checkpoint_steps,
        "save_total_limit": CHECKPOINTS_KEPT + measured,
        "report_to": "none",
        "push_to_hub": False,
        "disable_tqdm": True,
    } | (_measuring(settings, batch) if measured else {})


def _measuring(settings: TrainingSection, batch: Batch) -> dict[str, Any]:
    """Return the arguments that measure the held-out loss and keep the checkpoint of the lowest.

    The `load_best_model_at_end` of transformers would tie checkpoints to measurements, and its EarlyStoppingCallback
    is restored from a checkpoint only together with the operator's stop that wrote it; `callback` replaces both.
    """
    return {
        "eval_strategy": "steps",
        "eval_steps": settings.evaluation_steps,
        "per_device_eval_batch_size": batch.size,
        "prediction_loss_only": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
    }
