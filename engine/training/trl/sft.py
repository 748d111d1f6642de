"""Supervised fine-tuning (ReflectEvo, arXiv 2505.16475; the `sft-…` settings): TRL's SFTTrainer.

The loss is computed on the completion only. Independent of the database, checkpoints and supervision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from engine.prompts.chat_format import ChatFormat
from engine.training.examples import Example
from engine.training.trl.prefix_sharing import share_prompts_in
from engine.training.trl.sampler import GroupedByLength, sampler_for
from engine.training.trl.verbatim import completions, prompts, verbatim_tokenizer
from store.settings import TrainingSection


class _ThriftySFTTrainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer that groups examples by length and computes the shared prefixes of their prompts once."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        share_prompts_in(self, self.model)

    def _get_train_sampler(self, train_dataset: Any = None) -> GroupedByLength:
        return sampler_for(train_dataset if train_dataset is not None else self.train_dataset, self.args)


def sft_trainer(
    model: Any,
    form: ChatFormat,
    examples: Sequence[Example],
    settings: TrainingSection,
    shared: dict[str, Any],
    callbacks: list[TrainerCallback],
    *,
    held_out: Sequence[Example] = (),
) -> SFTTrainer:
    """Return a trainer of `examples` that is ready to train `model` (a PeftModel or a complete model) in place.

    `shared` is the result of `shared_arguments`, which also sets when the loss on `held_out` is measured. The examples
    must fit: they are neither truncated nor checked here.
    """
    return _ThriftySFTTrainer(
        model=model,
        args=SFTConfig(completion_only_loss=True, packing=False, **shared),
        train_dataset=_dataset(examples, form),
        eval_dataset=_dataset(held_out, form) if held_out else None,
        processing_class=verbatim_tokenizer(form),
        callbacks=callbacks,
    )


def _dataset(examples: Sequence[Example], form: ChatFormat) -> Dataset:
    return Dataset.from_dict({"prompt": prompts(examples, form), "completion": completions(examples, form)})
