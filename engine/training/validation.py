"""Checks training settings against this machine before any long work starts.

Importing this module loads no torch; torch is imported only when the settings require a GPU.
"""

from __future__ import annotations

import importlib.util

from store.curation.training_settings import TRAINING_SETTINGS, settings_with_two_stages
from store.settings import GenerationSection, TrainingSection
from store.settings.generation import needs_weights


def check_training(settings: TrainingSection, generation: GenerationSection) -> list[str]:
    """Return the problems of training with these settings on this machine, each with its remedy; empty if none.

    A scripted run trains no model, so missing hardware is not reported for it.
    """
    problems = []
    if settings.adapters == "separate" and len(TRAINING_SETTINGS[settings.setting].stages) == 1:
        problems.append(
            f"training.adapters = 'separate' is for a setting with two stages, not for {settings.setting}; "
            f"set it to 'chained', or use {' or '.join(settings_with_two_stages())}"
        )
    if settings.adapters == "separate" and settings.method == "full":
        problems.append(
            "training.adapters = 'separate' trains two adapters, and method = 'full' trains none; "
            "set method = 'lora', or adapters = 'chained'"
        )
    if settings.validation_share == 0:
        problems += [
            f"{name} needs a held-out loss to watch; set training.validation_share above 0 (e.g. 0.1), or leave it out"
            for name, patience in (
                ("training.patience", settings.patience),
                ("training.second_stage.patience", _second_patience(settings)),
            )
            if patience is not None
        ]
    problems += _small_batches(settings)
    if settings.method != "full" and "lm_head" in settings.lora_targets:
        problems.append("training.lora_targets names lm_head, which TRL can't train (its loss bypasses the head)")
    if settings.method == "qlora" and needs_weights(generation.generator):
        problems += qlora_problems()
    return problems


def _small_batches(settings: TrainingSection) -> list[str]:
    entry = TRAINING_SETTINGS[settings.setting]
    batches = {"training.batch_size": settings.batch_size}
    if len(entry.stages) > 1 and settings.second_stage.batch_size is not None:
        batches["training.second_stage.batch_size"] = settings.second_stage.batch_size
    return [
        f"{name} = {batch} is too small for {settings.setting}, whose loss compares the examples of a batch; "
        f"set it to at least {entry.smallest_batch}"
        for name, batch in batches.items()
        if batch < entry.smallest_batch
    ]


def describe_few_examples(found: int, settings: TrainingSection, dropped: str = "") -> str | None:
    """Return why nothing can be trained with so few examples, and what to do; None if there are enough.

    Args:
        found: examples of one training stage.
        settings: of the training.
        dropped: what else was dropped and why; empty if nothing was.
    """
    if found >= max(settings.min_examples, 1):
        return None
    words = "1 example is" if found == 1 else f"{found:,} examples are"
    return (
        f"nothing was trained: {words} too few to train on (min_examples = {settings.min_examples}"
        f"{f'; dropped: {dropped}' if dropped else ''}). The rollouts are kept. Relax [curation] or lower "
        "training.min_examples in the settings file, then: reflectevo run. Or end this iteration (reflectevo reject), "
        "and generate more in the next one: more training questions, reflection.instructions or reflection.samples"
    )


def qlora_problems() -> list[str]:
    """Return what this machine lacks for 4-bit training, each with its remedy."""
    problems = []
    if importlib.util.find_spec("bitsandbytes") is None:
        problems.append(
            "training.method = 'qlora' needs the package bitsandbytes; "
            "install it with: pip install 'reflectevo[gpu]', or set method = 'lora'"
        )
    if not _has_cuda():
        problems.append(
            "training.method = 'qlora' needs a CUDA device, and there is none; set method = 'lora', or run on a GPU box"
        )
    return problems


def _second_patience(settings: TrainingSection) -> int | None:
    return settings.second_stage.patience if len(TRAINING_SETTINGS[settings.setting].stages) > 1 else None


def _has_cuda() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())
