"""Settings of training and of its second stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from store.curation.learning_rates import Method
from store.curation.training_settings import TRAINING_SETTINGS, TrainingSetting
from store.settings.base import Section
from store.settings.one_of import OneOf

ATTENTION_INPUTS = (
    *("q_proj", "k_proj", "v_proj"),
    *("qkv_proj", "c_attn", "query_key_value", "Wqkv", "wqkv", "in_proj_qkv", "in_proj_qkvz", "qkv"),
    *("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"),
)
"""Names of the projections of queries, keys and values: apart, fused into one, or of low rank (DeepSeek)."""


class SecondStageSection(Section):
    """Overrides for the second stage of a setting with two; unset values are those of `[training]`."""

    learning_rate: float | None = Field(default=None, gt=0.0, le=1.0)
    """Peak learning rate."""
    epochs: float | None = Field(default=None, gt=0.0)
    """Number of passes over the training set."""
    batch_size: int | None = Field(default=None, ge=1)
    """Examples per forward pass on one device."""
    accumulation: int | None = Field(default=None, ge=1)
    """Forward passes per optimizer step."""
    weight_decay: float | None = Field(default=None, ge=0.0)
    """AdamW weight decay."""
    patience: int | None = Field(default=None, ge=1)
    """Early stopping: number of evaluations without a lower held-out loss before the stage ends."""


class TrainingSection(Section):
    """Training of the child policy. Defaults are those of the paper's appendix unless stated otherwise."""

    setting: Annotated[TrainingSetting, OneOf(lambda: TRAINING_SETTINGS)] = "sft-one-stage"
    """Training setting. The paper's: `sft-one-stage` or `sft-two-stage` (on D+), `dpo-verdict` (on D±), `dpo-judge`
    (on Dpref), and its baseline `sft-qa` (question → correct answer, no reflection). Beside them: `kto-verdict` (all
    verified reflections), `sft-attempts` and `dpo-attempts` (sampled first attempts), and the controls `sft-retry` and
    `sft-two-stage-shuffled`. docs/training-settings.md says what question each answers."""
    method: Method = "lora"
    """`lora`, `qlora` (LoRA on a 4-bit NF4 base model, needs CUDA), or `full` fine-tuning."""
    adapters: Literal["chained", "separate"] = "chained"
    """Adapters of a setting with two stages: `chained`, stage 2 continues the adapter of stage 1; `separate`, each
    stage trains its own (a reflector and a reasoner)."""
    second_stage: SecondStageSection = SecondStageSection()
    """Overrides for the second stage of a setting with two."""
    validation_share: float = Field(default=0.0, ge=0.0, le=0.5)
    """Share of the questions whose examples are excluded from training to measure the held-out loss."""
    patience: int | None = Field(default=None, ge=1)
    """Early stopping: number of evaluations without a lower held-out loss before training ends; requires
    `validation_share`."""
    evaluation_steps: int = Field(default=20, ge=1)
    """Optimizer steps between measurements of the held-out loss."""
    learning_rate: float | None = Field(default=None, gt=0.0, le=1.0)
    """Peak learning rate; unset, the default of the training setting and the method, e.g. 1e-3 for SFT on D+ with LoRA
    and 5e-7 for DPO with full fine-tuning (table in docs/training-settings.md)."""
    epochs: float = Field(default=1.0, gt=0.0)
    """Number of passes over the training set."""
    batch_size: int = Field(default=8, ge=1)
    """Examples per forward pass on one device."""
    accumulation: int = Field(default=1, ge=1)
    """Forward passes per optimizer step."""
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the optimizer steps used for learning rate warm-up."""
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    """Learning rate schedule after warm-up."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """AdamW weight decay."""
    max_length: int = Field(default=2048, ge=16)
    """Maximum length of an example in tokens. Longer ones are dropped and counted, never truncated."""
    lora_rank: int = Field(default=8, ge=1)
    """Rank of the LoRA matrices."""
    lora_alpha: int = Field(default=32, ge=1)
    """LoRA scaling factor (alpha)."""
    lora_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Dropout on the input of the LoRA layers."""
    lora_targets: list[str] | Literal["all-linear", "auto"] = "auto"
    """Modules to adapt, or `all-linear`. `auto`: the projections of queries, keys and values, as in the paper, however
    the model's architecture names them."""
    beta: float = Field(default=0.1, gt=0.0)
    """Beta of DPO and KTO; the paper uses 0.01 for DPO."""
    reference: Literal["base", "parent"] = "parent"
    """Reference policy of DPO and KTO: the parent, or the base model."""
    rehearsal: float = Field(default=0.0, ge=0.0, le=10.0)
    """Correct first attempts added to SFT on D+, as a ratio to its rows (two-stage: in stage 2), so that the policy
    does not unlearn what it can already do. Not in the paper."""
    distillation: bool = False
    """Also train SFT on D+ on its corrected attempts as first attempts (two-stage: in stage 2), so that the policy
    answers correctly without reflecting. Useful for answers with reasoning; where answers are guesses, it teaches
    guessing. Not in the paper."""
    min_examples: int = Field(default=16, ge=1)
    """Minimum number of examples of a training stage; with fewer nothing is trained, and the rollouts are kept. 16 are
    two batches of the default size: with fewer, a child depends on which examples happened to be kept."""
    checkpoint_steps: int = Field(default=20, ge=1)
    """Optimizer steps between checkpoints. A stop or `save_now` saves immediately."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, slower steps."""

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate that is trained with: the set one, or the default of the setting and the method."""
        if self.learning_rate is not None:
            return self.learning_rate
        return TRAINING_SETTINGS[self.setting].learning_rate(self.method).default

    def unusual_learning_rates(self) -> list[str]:
        """Return a warning for each learning rate outside the range that is usual for the setting and the method."""
        usual = TRAINING_SETTINGS[self.setting].learning_rate(self.method)
        rates = {"training.learning_rate": self.learning_rate}
        if len(TRAINING_SETTINGS[self.setting].stages) > 1:
            rates["training.second_stage.learning_rate"] = self.second_stage.learning_rate
        how = "full fine-tuning" if self.method == "full" else "LoRA"
        return [
            f"{name} = {rate:g} is outside the usual range of {self.setting} with {how}, {usual.lowest:g} to "
            f"{usual.highest:g}; the default is {usual.default:g} ({usual.source})"
            for name, rate in rates.items()
            if rate is not None and not usual.lowest <= rate <= usual.highest
        ]
