"""Trains one stage from its newest checkpoint to its end, with smaller batches when memory runs out.

The outcome is a checkpoint in the work directory, so that all later work can be repeated after a kill. Runs in the
training worker process; independent of policies, other stages and the database.
"""

from __future__ import annotations

import copy
import gc
import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError
from engine.models.loading import load_model
from engine.models.precision import Precision, choose_precision
from engine.models.quiet_libraries import quiet_libraries
from engine.prompts.chat_format import ChatFormat
from engine.training import checkpoints
from engine.training.checkpoints import Checkpoint
from engine.training.examples import AnyExample
from engine.training.row_kinds import row_kind
from engine.training.trl.arguments import Batch, shared_arguments
from engine.training.trl.loading import hold_adapter_in_float32, hold_frozen_layers_in_bfloat16, load_for_training
from store.curation.training_settings import TRAINING_SETTINGS
from store.evaluation.number_format import counted
from store.settings import TrainingSection, TrainingSetting

if TYPE_CHECKING:
    from engine.training.trl.callback import Control, OnIdle, OnMetrics, OnStep

_log = logging.getLogger(__name__)
_WITHOUT_EFFECT = {"checkpoint_steps", "gradient_checkpointing", "min_examples", "second_stage", "adapters"}
"""Settings without effect on the computation of a stage (the last two describe the other stage and its adapter)."""


@dataclass(frozen=True)
class StageRun:
    """One stage with all its inputs, retried with smaller batches until memory suffices."""

    setting: TrainingSetting
    settings: TrainingSection
    base: Path
    start: Path | None
    """Adapter that the stage continues; None starts from the base."""
    reference_base: Path | None
    """The run's base model where it differs from `base`."""
    examples: tuple[AnyExample, ...]
    held_out: tuple[AnyExample, ...]
    seed: int
    work_dir: Path
    form: ChatFormat
    after: str
    """Fingerprint of the previous stage; empty for the first."""

    def fingerprint(self) -> str:
        """Hash what must be equal to resume from a checkpoint: data, seed, start, settings, and the previous stage."""
        identity = {
            "setting": self.setting,
            "base": str(self.base),
            "start": str(self.start),
            "reference": str(self.reference_base),
            "seed": self.seed,
            "settings": {
                **self.settings.model_dump(mode="json", exclude=_WITHOUT_EFFECT),
                "learning_rate": self.settings.peak_learning_rate,
            },
            "examples": [asdict(example) for example in self.examples],
            "held_out": [asdict(example) for example in self.held_out],
            "after": self.after,
            "chat": [dict(self.form.keywords), self.form.system],
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def until_done(self, control: Control, on_metrics: OnMetrics, on_step: OnStep, on_idle: OnIdle) -> Checkpoint:
        """Train until the stage ends or is stopped and return its checkpoint; a finished stage is not trained again.

        When memory runs out, the batch is halved and accumulation doubled: the examples of a step and their order stay
        the same. Raises EngineError when the smallest batch is too large, or when the training diverges.
        """
        import torch
        from accelerate.utils.memory import should_reduce_batch_size  # type: ignore[import-untyped]

        checkpoints.claim(self.work_dir, self.fingerprint())
        batch = self._first_batch()
        while batch is not None:
            try:
                return self._once(batch, control, on_metrics, on_step, on_idle)
            except RuntimeError as error:
                if not isinstance(error, torch.OutOfMemoryError) and not should_reduce_batch_size(error):
                    raise
            smaller = self._smaller(batch)  # outside the handler: its traceback would keep the model in memory
            _log.warning("out of memory with %s; continuing with %s", batch, smaller)
            batch = smaller
            free_memory()
        raise EngineError(
            f"out of memory with {counted(self._smallest_batch, 'example')} per forward pass. Lower max_length, switch "
            "gradient_checkpointing on, or use a smaller model."
        )

    @property
    def _smallest_batch(self) -> int:
        return TRAINING_SETTINGS[self.setting].smallest_batch

    def _smaller(self, batch: Batch) -> Batch | None:
        """Return a smaller batch for the same optimizer step; None when the loss needs one of this size."""
        smaller = batch.smaller()
        return smaller if smaller is not None and smaller.size >= self._smallest_batch else None

    def _first_batch(self) -> Batch | None:
        """Return the batch of the settings, or the smaller one that a checkpoint was written with."""
        batch: Batch | None = Batch(self.settings.batch_size, self.settings.accumulation)
        checkpoint = checkpoints.newest(self.work_dir)
        while batch is not None and checkpoint is not None and batch.size > checkpoint.batch_size:
            batch = self._smaller(batch)
        return batch

    def _once(
        self, batch: Batch, control: Control, on_metrics: OnMetrics, on_step: OnStep, on_idle: OnIdle
    ) -> Checkpoint:
        """Train from the newest checkpoint to the end or to a stop. Raises RuntimeError when memory runs out."""
        from transformers import PrinterCallback, set_seed

        from engine.training.trl.callback import Supervision

        precision = choose_precision()
        checkpoint = checkpoints.newest(self.work_dir)
        if checkpoint is not None and checkpoint.finished(self.settings.patience):
            return checkpoint
        set_seed(self.seed)
        model = load_for_training(self.base, self.start, self.settings, precision)
        if precision.autocast and precision.weights == "float32" and self.settings.method == "lora":
            hold_frozen_layers_in_bfloat16(model)
        shared = shared_arguments(
            self.settings,
            batch,
            precision,
            self.seed,
            self.work_dir,
            examples=len(self.examples),
            measured=bool(self.held_out),
        )
        build = row_kind(self.setting).trainer()
        quiet_libraries()
        if precision.device == "cpu":
            from engine.training.trl.completion_logits import score_completions_only

            score_completions_only()
        trainer = build(
            model,
            self.form,
            self.examples,
            self.settings,
            shared,
            [Supervision(control, on_metrics, on_step, on_idle, self.settings.patience)],
            held_out=self.held_out,
            **self._reference(model, precision),
        )
        if self.settings.method == "qlora":
            hold_adapter_in_float32(trainer.model)
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
        reached = checkpoints.newest(self.work_dir)
        if reached is None:
            raise EngineError(
                f"the training left no complete checkpoint in {self.work_dir}; check whether the disk is full."
            )
        return reached

    def _reference(self, model: Any, precision: Precision) -> dict[str, Any]:
        """Load the reference policy of DPO or KTO as a separate model where switching adapters cannot provide it."""
        if not TRAINING_SETTINGS[self.setting].needs_reference:
            return {}
        full = self.settings.method == "full"
        if self.settings.reference == "parent":
            return {"reference": copy.deepcopy(model) if full else None}
        apart = full or self.reference_base is not None
        dtype = "float32" if full else precision.weights
        return {"reference": load_model(self.reference_base or self.base, dtype) if apart else None}


def free_memory() -> None:
    """Free the memory of models that are no longer referenced."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
