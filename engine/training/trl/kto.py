"""Kahneman-Tversky optimisation on verified reflections (KTO, arXiv 2402.01306; `kto-verdict`): TRL's KTOTrainer.

KTO needs no pairs: each completion is desirable or undesirable. Its loss compares the log-ratio of policy and reference
with their estimated divergence, which TRL estimates from completions after the prompts of other examples: it rotates
the completions of each batch by one, in the fixed order of the data set. Two conditions follow, which TRL leaves to its
caller: neighbours must not share their prompt, or the rotated completion is no mismatched one, and no batch may consist
of one example. The reference policy is always explicit. Independent of the database and of supervision.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import KTOConfig, KTOTrainer

from engine.prompts.chat_format import ChatFormat
from engine.training.examples import LabelledExample
from engine.training.trl.prefix_sharing import share_prompts_in
from engine.training.trl.reference_adapter import keep_reference
from engine.training.trl.verbatim import completions, prompts, verbatim_tokenizer
from store.settings import TrainingSection


class _MismatchedKTOTrainer(KTOTrainer):  # type: ignore[misc]
    """KTOTrainer whose last example is never its own mismatched one, and that computes shared prompts once."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        batch = self.args.per_device_train_batch_size
        for name in ("train_dataset", "eval_dataset"):
            dataset = getattr(self, name)
            if dataset is not None:
                setattr(self, name, _without_own_completion(dataset, batch))
        share_prompts_in(self, *filter(None, (self.model, self.ref_model)))


def kto_trainer(
    model: Any,
    form: ChatFormat,
    examples: Sequence[LabelledExample],
    settings: TrainingSection,
    shared: dict[str, Any],
    callbacks: list[TrainerCallback],
    *,
    held_out: Sequence[LabelledExample] = (),
    reference: Any = None,
) -> KTOTrainer:
    """Return a trainer of the labelled examples that is ready to train `model` (a PeftModel or a complete model).

    The reference policy is chosen as in `dpo_trainer`. The less frequent label weighs more, so that both labels have
    the same weight in total (equation 8 of the paper, ratio 1). Raises ValueError for a batch of one, or when all
    examples have one label.
    """
    desirable, undesirable = label_weights(examples)
    trainer = _MismatchedKTOTrainer(
        model=model,
        ref_model=reference,
        args=KTOConfig(
            beta=settings.beta,
            loss_type="kto",
            desirable_weight=desirable,
            undesirable_weight=undesirable,
            precompute_ref_log_probs=False,
            train_sampling_strategy="sequential",
            **shared,
        ),
        train_dataset=_dataset(mixed_order(examples, shared["seed"]), form),
        eval_dataset=_dataset(mixed_order(held_out, shared["seed"]), form) if held_out else None,
        processing_class=verbatim_tokenizer(form),
        callbacks=callbacks,
    )
    keep_reference(trainer.model, settings)
    return trainer


def label_weights(examples: Sequence[LabelledExample]) -> tuple[float, float]:
    """Return the weights of desirable and undesirable examples, at least 1, that balance the two labels.

    Raises ValueError when all examples have one label.
    """
    desirable = sum(example.desirable for example in examples)
    undesirable = len(examples) - desirable
    if not desirable or not undesirable:
        raise ValueError("KTO needs desirable and undesirable examples, and all of these have one label")
    # Rounded within TRL's range for the ratio, 1 to 1.33, whose bounds it rounds to two places.
    if desirable < undesirable:
        return math.ceil(100 * undesirable / desirable) / 100, 1.0
    return 1.0, math.floor(100 * desirable / undesirable) / 100


def mixed_order(examples: Sequence[LabelledExample], seed: int) -> list[LabelledExample]:
    """Return the examples in a seeded order in which neighbours are of different questions, where that is possible.

    The next example is one of the question that has the most left, other than that of the previous example.
    """
    draw = random.Random(f"{seed}/kto")
    waiting: defaultdict[int | None, list[LabelledExample]] = defaultdict(list)
    for example in draw.sample(list(examples), len(examples)):
        waiting[example.question_id].append(example)
    most_first = [(-len(group), draw.random(), question) for question, group in waiting.items()]
    heapq.heapify(most_first)
    ordered: list[LabelledExample] = []
    held: tuple[int, float, int | None] | None = None  # the previous example's question, if it has examples left
    while most_first or held:
        if not most_first:
            assert held is not None
            ordered += waiting[held[2]]
            break
        left, _, question = heapq.heappop(most_first)
        ordered.append(waiting[question].pop())
        if held is not None:
            heapq.heappush(most_first, held)
        held = (left + 1, draw.random(), question) if left < -1 else None
    return ordered


def _without_own_completion(dataset: Dataset, batch: int) -> Dataset:
    """Replace the mismatched completion of a last batch of one example, which is its own, by its neighbour's."""
    last = len(dataset) - 1
    if last % batch or last == 0:
        return dataset
    neighbour = dataset[last - 1]["completion_ids"]

    def replaced(row: dict[str, Any], index: int) -> dict[str, Any]:
        return {"KL_completion_ids": neighbour if index == last else row["KL_completion_ids"]}

    return dataset.map(replaced, with_indices=True)


def _dataset(examples: Sequence[LabelledExample], form: ChatFormat) -> Dataset:
    return Dataset.from_dict(
        {
            "prompt": prompts(examples, form),
            "completion": completions(examples, form),
            "label": [example.desirable for example in examples],
        }
    )
