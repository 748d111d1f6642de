"""The optimizer steps of a training: its stages, their batches, and the examples of each epoch. Pure arithmetic."""

from __future__ import annotations

import math

from store.curation.training_settings import TRAINING_SETTINGS
from store.settings import TrainingSection


def optimizer_steps(examples: int, batch: int, epochs: float) -> int:
    """Return the optimizer steps of a training stage with `batch` examples per step, as the trainer counts them.

    The last step of an epoch takes the remaining examples, so that every epoch has ⌈examples / batch⌉ steps.
    """
    return math.ceil(math.ceil(examples / batch) * epochs)


def planned_steps(training: TrainingSection, examples: int) -> int:
    """Return the optimizer steps of all stages of a training on some examples and the first attempts added to them.

    Exact without `validation_share`, or when no two examples are of the same question.
    """
    passes = training_passes(training)
    sizes = [examples] * (len(passes) - 1) + [examples + round(examples * added_attempts(training))]
    return sum(
        optimizer_steps(size - held_out_count(training.validation_share, size), batch * accumulation, epochs)
        for size, (epochs, batch, accumulation) in zip(sizes, passes, strict=True)
    )


def held_out_count(share: float, questions: int) -> int:
    """Return the number of questions held out to measure the loss: at least 1, never all; 0 for a share of 0."""
    return min(max(1, round(share * questions)), questions - 1) if share and questions else 0


def added_attempts(training: TrainingSection) -> float:
    """First attempts per example of D+ in the last stage: correct ones (rehearsal), corrected ones (distillation)."""
    if not TRAINING_SETTINGS[training.setting].rehearses:
        return 0.0
    return training.rehearsal + training.distillation


def training_passes(training: TrainingSection) -> list[tuple[float, int, int]]:
    """Epochs, batch size and accumulation of each stage of the training."""
    first = (training.epochs, training.batch_size, training.accumulation)
    if len(TRAINING_SETTINGS[training.setting].stages) == 1:
        return [first]
    own = training.second_stage
    return [
        first,
        (
            own.epochs or training.epochs,
            own.batch_size or training.batch_size,
            own.accumulation or training.accumulation,
        ),
    ]
