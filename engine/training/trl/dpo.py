"""Direct preference optimisation on D± or Dpref (ReflectEvo, arXiv 2505.16475; the `dpo-…` settings): TRL's DPOTrainer.

The reference policy is always explicit. Independent of the database and of supervision.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from engine.prompts.chat_format import ChatFormat
from engine.training.checkpoints import path_of
from engine.training.examples import Pair
from engine.training.trl.prefix_sharing import share_prompts_in
from engine.training.trl.reference_adapter import keep_reference
from engine.training.trl.reference_logps import ReferenceMemory
from engine.training.trl.sampler import GroupedByLength, sampler_for
from engine.training.trl.verbatim import completions, prompts, verbatim_tokenizer
from store.settings import TrainingSection


class _ThriftyDPOTrainer(DPOTrainer):  # type: ignore[misc]
    """DPOTrainer that groups pairs by length and computes shared prompts and reference log-probabilities once."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._references = ReferenceMemory()
        # Set after construction, so that TRL reads reference log-probabilities from the batch; set before, it would
        # compute all of them first, and stops and heartbeats would have to wait.
        self.precompute_ref_logps = True
        share_prompts_in(self, *filter(None, (self.model, self.ref_model)))

    def train(self, resume_from_checkpoint: Any = None, **arguments: Any) -> Any:
        if resume_from_checkpoint:
            self._references.load(Path(resume_from_checkpoint))
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **arguments)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        reference = self.ref_model if self.ref_model is not None else model
        inputs = self._references.completed(inputs, lambda: self.compute_ref_log_probs(reference, inputs))
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            self._references.save(path_of(Path(self.args.output_dir), self.state.global_step))

    def _get_train_sampler(self, train_dataset: Any = None) -> GroupedByLength:
        return sampler_for(train_dataset if train_dataset is not None else self.train_dataset, self.args)


def dpo_trainer(
    model: Any,
    form: ChatFormat,
    examples: Sequence[Pair],
    settings: TrainingSection,
    shared: dict[str, Any],
    callbacks: list[TrainerCallback],
    *,
    held_out: Sequence[Pair] = (),
    reference: Any = None,
) -> DPOTrainer:
    """Return a trainer of the pairs that is ready to train `model` (a PeftModel or a complete model) in place.

    `settings.reference` selects the reference policy. `parent`: TRL's frozen copy "ref" of the current adapter, so
    pass the parent's adapter, not a checkpoint's. `base`: that copy is removed again, and TRL then computes the
    reference with all adapters disabled. For a new adapter, which has no effect yet, both are the base. Where neither
    applies (a complete model is trained, or the run's base is not this adapter's), pass the frozen `reference` model
    itself.
    """
    trainer = _ThriftyDPOTrainer(
        model=model,
        ref_model=reference,
        args=DPOConfig(beta=settings.beta, loss_type=["sigmoid"], precompute_ref_log_probs=False, **shared),
        train_dataset=_dataset(examples, form),
        eval_dataset=_dataset(held_out, form) if held_out else None,
        processing_class=verbatim_tokenizer(form),
        callbacks=callbacks,
    )
    keep_reference(trainer.model, settings)
    return trainer


def _dataset(pairs: Sequence[Pair], form: ChatFormat) -> Dataset:
    chosen, rejected = [pair.sides()[0] for pair in pairs], [pair.sides()[1] for pair in pairs]
    return Dataset.from_dict(
        {
            "prompt": prompts(chosen, form),
            "chosen": completions(chosen, form),
            "rejected": completions(rejected, form),
        }
    )
