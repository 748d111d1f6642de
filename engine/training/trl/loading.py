"""Loads a model for training: the base with a LoRA adapter, on a 4-bit base, or as a whole.

Knows nothing of trainers, examples or policy directories. Importing it is cheap; torch, transformers and PEFT are
imported when used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import TrainingRefused
from engine.models.loading import load_model, whole_model
from engine.models.precision import Precision, choose_precision
from engine.models.resolve import check_adapter
from store.settings import TrainingSection


def load_for_training(
    base: Path, adapter: Path | None, settings: TrainingSection, precision: Precision | None = None
) -> Any:
    """The model that a training changes, on the CPU (the trainer moves it; a 4-bit base is on the GPU at once).

    `lora`: a PeftModel. With `adapter` (the parent's) that adapter is continued as it is, rank and targets included;
    without, a new one is made from the `lora_*` settings (ReflectEvo, appendix: q, k, v projections, r 8, alpha 32,
    dropout 0.1) and equals the base until it is trained. `qlora`: the same on a frozen base in 4-bit NF4. `full`: the
    whole model, `adapter` folded in, in float32, because bfloat16 would lose small updates. Seed torch before the
    call. Raises TrainingRefused when the targets don't fit.
    """
    precision = precision or choose_precision()
    if settings.method == "full":
        # Folding an adapter in leaves everything else frozen.
        return whole_model(base, adapter, "float32").requires_grad_(True)
    quantised = settings.method == "qlora"
    model = _quantised(base, settings, precision) if quantised else load_model(base, precision.weights)
    if adapter is not None:
        from peft import PeftModel

        check_adapter(adapter)
        return PeftModel.from_pretrained(model, adapter, is_trainable=True)
    return _with_new_adapter(model, settings)


def hold_adapter_in_float32(model: Any) -> None:
    """Give a trainable adapter the format it has everywhere else here.

    On a 4-bit base TRL casts it to bfloat16, in which small updates are lost; and a resume would bring it back in
    float32 all the same, so that a stop would change what is trained.
    """
    for part in model.parameters():
        if part.requires_grad:
            part.data = part.data.float()


def hold_frozen_layers_in_bfloat16(model: Any) -> None:
    """Keep frozen linear layers as autocast would cast them at each use: the same numbers, half the memory.

    For a model that is only ever run under bfloat16 autocast. Autocast casts a frozen float32 weight anew in every
    forward pass and keeps the copy until the backward pass. Norms, embeddings (with a head that shares their weights)
    and whatever is trained stay in float32.
    """
    import torch

    embedding = model.get_input_embeddings().weight
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear) and layer.weight is not embedding and not layer.weight.requires_grad:
            for part in layer.parameters(recurse=False):
                part.data = part.data.to(torch.bfloat16)


def _quantised(base: Path, settings: TrainingSection, precision: Precision) -> Any:
    """`base` in 4-bit NF4 with double quantisation, computing in bfloat16 (QLoRA, arXiv 2305.14314)."""
    import torch
    from peft import prepare_model_for_kbit_training
    from transformers import BitsAndBytesConfig

    computing = torch.bfloat16 if precision.autocast else torch.float32
    quantisation = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computing,
    )
    device = 0 if precision.device == "cuda" else "cpu"
    model = load_model(base, computing, quantization_config=quantisation, device_map={"": device})
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=settings.gradient_checkpointing)


def _with_new_adapter(model: Any, settings: TrainingSection) -> Any:
    from peft import LoraConfig, TaskType, get_peft_model

    targets = settings.lora_targets
    if "lm_head" in targets:
        raise TrainingRefused(
            "lora_targets names lm_head, which TRL can't train (its loss bypasses the head); remove it."
        )
    configuration = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
    )
    try:
        return get_peft_model(model, configuration)
    except ValueError as error:
        linear = sorted(
            {name.rsplit(".", 1)[-1] for name, part in model.named_modules() if hasattr(part, "in_features")}
        )
        raise TrainingRefused(
            f"lora_targets = {targets} doesn't fit this model ({error}). Its linear layers are: {', '.join(linear)}."
        ) from error
