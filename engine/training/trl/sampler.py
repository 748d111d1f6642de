"""Sampler of training examples: shuffled, grouped by length, and the same after every resume.

The length grouping of transformers draws from the global random state, so the order would change after a resume; this
one depends only on lengths, seed and epoch. Independent of models and tokenizers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import Sampler

_STEPS_SORTED_TOGETHER = 16


def grouped_order(lengths: Sequence[int], step_size: int, seed: int, epoch: int) -> list[int]:
    """Return a permutation of `range(len(lengths))`, to be split into optimizer steps of `step_size` examples.

    Examples of one step have similar lengths (in tokens), which keeps padding small. Steps are in random order, except
    that the longest is first, so that memory runs out immediately or never, and an incomplete one is last.
    """
    draw = random.Random(f"{seed}/{epoch}")
    indices = list(range(len(lengths)))
    draw.shuffle(indices)
    window = step_size * _STEPS_SORTED_TOGETHER
    windows = [indices[start : start + window] for start in range(0, len(indices), window)]
    ordered = [index for part in windows for index in sorted(part, key=lambda i: lengths[i], reverse=True)]
    whole = len(ordered) - len(ordered) % step_size
    steps = [ordered[start : start + step_size] for start in range(0, whole, step_size)]
    draw.shuffle(steps)
    if steps:
        longest = max(range(len(steps)), key=lambda i: max(lengths[j] for j in steps[i]))
        steps[0], steps[longest] = steps[longest], steps[0]
    return [index for step in steps for index in step] + ordered[whole:]


class GroupedByLength(Sampler[int]):  # type: ignore[misc]
    """Sampler over `grouped_order`; the trainer sets the epoch."""

    def __init__(self, lengths: Sequence[int], step_size: int, seed: int) -> None:
        self.lengths = lengths
        self.step_size = step_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Use the order of this epoch (counted from 0) from now on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(grouped_order(self.lengths, self.step_size, self.seed, self.epoch))

    def __len__(self) -> int:
        return len(self.lengths)


def sampler_for(dataset: Any, arguments: Any) -> GroupedByLength:
    """Return the sampler of a tokenized TRL dataset (SFT: `input_ids`; DPO: `prompt_ids` and both completions' ids).

    `arguments` are the trainer's: a step has batch × accumulation × processes examples.
    """
    columns = [
        name for name in ("input_ids", "prompt_ids", "chosen_ids", "rejected_ids") if name in dataset.column_names
    ]
    lengths = [sum(len(row[name]) for name in columns) for row in dataset]
    step_size = arguments.train_batch_size * arguments.gradient_accumulation_steps * max(arguments.world_size, 1)
    return GroupedByLength(lengths, step_size, arguments.seed)
