"""Default peak learning rates by loss and method, with the usual range of each and its source.

LoRA needs about ten times the rate of full fine-tuning (Schulman et al. 2025, "LoRA Without Regret"). DPO and KTO need
far lower rates than SFT: their losses only compare probabilities, so that a large step makes both texts improbable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Loss = Literal["sft", "dpo", "kto"]
"""Loss of a training setting: cross-entropy on completions, DPO on pairs, or KTO on labelled completions."""

Method = Literal["lora", "qlora", "full"]
"""How the weights are trained (`training.method`)."""


@dataclass(frozen=True, slots=True)
class LearningRate:
    """A default peak learning rate of AdamW and the range that is usual for models of 0.1 to 70 billion parameters."""

    default: float
    lowest: float
    highest: float
    source: str
    """Where the default was published."""


@dataclass(frozen=True, slots=True)
class LearningRates:
    """The learning rates of a training setting by method."""

    lora: LearningRate
    """For adapters, also on a 4-bit base."""
    full: LearningRate

    def of(self, method: Method) -> LearningRate:
        """Return the rate for a method."""
        return self.full if method == "full" else self.lora


_FULL_SFT = LearningRate(2e-5, 1e-6, 1e-4, "TRL's sft.py; Stanford Alpaca (2023)")

SFT_RATES = LearningRates(
    lora=LearningRate(1e-3, 1e-5, 2e-3, "ReflectEvo (arXiv 2505.16475), appendix: one-stage, QLoRA"), full=_FULL_SFT
)
"""Rates of SFT on the policy's own texts; equal for all such settings, so that a comparison differs in the set only."""

QA_RATES = LearningRates(
    lora=LearningRate(5e-4, 1e-5, 2e-3, "repository of ReflectEvo (arXiv 2505.16475): SFT on question-answer pairs"),
    full=_FULL_SFT,
)

DPO_RATES = LearningRates(
    lora=LearningRate(5e-6, 5e-7, 1e-4, "TRL's dpo.py; zephyr-7b-dpo-qlora (alignment handbook)"),
    full=LearningRate(5e-7, 5e-8, 5e-6, "ReflectEvo (arXiv 2505.16475), appendix; Zephyr (arXiv 2310.16944)"),
)

KTO_RATES = LearningRates(
    lora=LearningRate(1e-5, 5e-7, 1e-4, "ten times the rate of full fine-tuning"),
    full=LearningRate(1e-6, 1e-7, 1e-5, "default of TRL's KTOConfig; KTO (arXiv 2402.01306), section 4: up to 5e-6"),
)

RATES_OF_LOSS: Mapping[Loss, LearningRates] = {"sft": SFT_RATES, "dpo": DPO_RATES, "kto": KTO_RATES}
"""Rates of a setting whose entry names none."""
