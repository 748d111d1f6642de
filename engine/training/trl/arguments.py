"""From the project's training settings to the arguments every TRL trainer shares.

Everything TRL or transformers would default to something unwanted is said here: no cutting, no reports, no
progress bars, bfloat16 only where the hardware computes in it. Knows nothing of data or models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.models.precision import Precision
from store.estimates.formulas import optimizer_steps
from store.settings import TrainingSection

CHECKPOINTS_KEPT = 2
"""The newest and the one before, should the newest be torn; one more when the best is kept as well."""


@dataclass(frozen=True)
class Batch:
    """How an optimizer step is cut into forward passes."""

    size: int
    """Examples per forward pass on one device."""
    accumulation: int
    """Forward passes per optimizer step."""

    def smaller(self) -> Batch | None:
        """About half the size with the same number of examples per optimizer step; None when the size is 1."""
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
    """Keyword arguments for SFTConfig and DPOConfig alike (names of TRL 1.16 and transformers 5.19).

    `measured`: a held-out loss is measured every `evaluation_steps` and at the end.
    """
    steps = optimizer_steps(examples, batch.size * batch.accumulation, settings.epochs)
    schedule = "constant_with_warmup" if settings.schedule == "constant" and settings.warmup else settings.schedule
    return {
        "output_dir": str(work_dir),
        "per_device_train_batch_size": batch.size,
        "gradient_accumulation_steps": batch.accumulation,
        "learning_rate": settings.learning_rate,
        "num_train_epochs": settings.epochs,
        # Rounded down: given as a share, transformers rounds up, and a training of one step would have rate 0.
        "warmup_steps": int(settings.warmup * steps),
        "lr_scheduler_type": schedule,
        "weight_decay": settings.weight_decay,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "max_length": None,  # over-long examples were dropped and counted before; TRL would cut them
        "bf16": precision.autocast,
        "fp16": False,
        "use_cpu": precision.device == "cpu",
        "dataloader_pin_memory": precision.device == "cuda",
        "seed": seed,
        "data_seed": seed,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a diverged loss must be seen, not averaged away
        "save_strategy": "steps",
        "save_steps": settings.checkpoint_steps,
        "save_total_limit": CHECKPOINTS_KEPT + measured,
        "report_to": "none",
        "push_to_hub": False,
        "disable_tqdm": True,
    } | (_measuring(settings, batch) if measured else {})


def _measuring(settings: TrainingSection, batch: Batch) -> dict[str, Any]:
    """Measure the held-out loss and keep the checkpoint where it was lowest.

    transformers' `load_best_model_at_end` would tie checkpoints to measurements, and its EarlyStoppingCallback comes
    back from a checkpoint only together with the operator's stop that wrote it; the callback here does both parts.
    """
    return {
        "eval_strategy": "steps",
        "eval_steps": settings.evaluation_steps,
        "per_device_eval_batch_size": batch.size,
        "prediction_loss_only": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
    }
