"""Settings of training and of its second stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from store.curation.training_settings import PAPER_RATE, TRAINING_SETTINGS, TrainingSetting
from store.settings.base import Section
from store.settings.one_of import OneOf


class SecondStageSection(Section):
    """What the second stage of `sft-two-stage` does differently; unset values are those of `[training]`."""

    learning_rate: float | None = Field(default=None, gt=0.0, le=1.0)
    """Peak learning rate."""
    epochs: float | None = Field(default=None, gt=0.0)
    """Passes over the set."""
    batch_size: int | None = Field(default=None, ge=1)
    """Examples per forward pass on one device."""
    accumulation: int | None = Field(default=None, ge=1)
    """Forward passes per optimizer step."""
    weight_decay: float | None = Field(default=None, ge=0.0)
    """AdamW weight decay."""
    patience: int | None = Field(default=None, ge=1)
    """Evaluations without a better held-out loss before the stage ends."""


class TrainingSection(Section):
    """How the next policy is trained. Rates and sizes as in the paper's appendix unless said otherwise."""

    setting: Annotated[TrainingSetting, OneOf(lambda: TRAINING_SETTINGS)] = "sft-one-stage"
    """`sft-one-stage` or `sft-two-stage` (on D+), `dpo-verdict` (on D±), `dpo-judge` (on Dpref), or the baseline
    `sft-qa` (question → correct answer, no reflection)."""
    method: Literal["lora", "qlora", "full"] = "lora"
    """`lora`, `qlora` (LoRA on a 4-bit NF4 base, needs CUDA), or `full` fine-tuning."""
    adapters: Literal["chained", "separate"] = "chained"
    """Two-stage: stage 2 continues stage 1's adapter, or each stage trains its own (a reflector and a reasoner)."""
    second_stage: SecondStageSection = SecondStageSection()
    """What stage 2 of `sft-two-stage` does differently."""
    validation_share: float = Field(default=0.0, ge=0.0, le=0.5)
    """Share of the questions whose examples are kept out to measure held-out loss."""
    patience: int | None = Field(default=None, ge=1)
    """Evaluations without a better held-out loss before training ends; needs `validation_share`."""
    evaluation_steps: int = Field(default=20, ge=1)
    """Optimizer steps between measurements of the held-out loss."""
    learning_rate: float = Field(default=PAPER_RATE, gt=0.0, le=1.0)
    """Peak learning rate."""
    epochs: float = Field(default=1.0, gt=0.0)
    """Passes over the set."""
    batch_size: int = Field(default=8, ge=1)
    """Examples per forward pass on one device."""
    accumulation: int = Field(default=1, ge=1)
    """Forward passes per optimizer step."""
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the steps used to warm up."""
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    """Shape of the learning rate after warm-up."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """AdamW weight decay."""
    max_length: int = Field(default=2048, ge=16)
    """Longest example in tokens. Longer ones are dropped and counted, never cut."""
    lora_rank: int = Field(default=8, ge=1)
    """Rank of the LoRA matrices."""
    lora_alpha: int = Field(default=32, ge=1)
    """LoRA scale."""
    lora_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Dropout on the LoRA input."""
    lora_targets: list[str] | Literal["all-linear"] = Field(default=["q_proj", "k_proj", "v_proj"])
    """Modules that get an adapter."""
    beta: float = Field(default=0.1, gt=0.0)
    """DPO temperature; the paper uses 0.01."""
    reference: Literal["base", "parent"] = "parent"
    """Reference policy of DPO."""
    rehearsal: float = Field(default=0.0, ge=0.0, le=10.0)
    """Right first attempts that SFT on D+ trains on as well, so many for each of its rows (two-stage: in stage 2): what
    the policy can do already is not unlearnt. The paper has none."""
    distillation: bool = False
    """SFT on D+ trains on its corrected attempts as first attempts too (two-stage: in stage 2): what was found by
    reflecting is answered at once. For answers with reasoning; where they are guesses, it teaches guessing. The paper
    has none."""
    min_examples: int = Field(default=1, ge=1)
    """Refuse to train on fewer examples than this."""
    checkpoint_steps: int = Field(default=20, ge=1)
    """Optimizer steps between checkpoints. A stop or `save_now` saves at once."""
    gradient_checkpointing: bool = False
    """Trade speed for memory."""

    @model_validator(mode="before")
    @classmethod
    def _rate_of_the_setting(cls, values: Any) -> Any:
        """Without a learning rate, the training setting's own applies."""
        if not isinstance(values, Mapping) or "learning_rate" in values:
            return values
        name = values.get("setting", cls.model_fields["setting"].default)
        entry = TRAINING_SETTINGS.get(name) if isinstance(name, str) else None
        return values if entry is None else {**values, "learning_rate": entry.learning_rate}
