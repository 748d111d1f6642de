"""Loads a model for training: a base with a LoRA adapter (also on a 4-bit base), or a complete model.

Independent of trainers, examples and policy directories. Importing it is cheap; torch, transformers and PEFT are
imported when used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import TrainingRefused
from engine.models.loading import load_model, whole_model
from engine.models.lora_targets import (
    EMBEDDINGS_TIED,
    linear_layers,
    missing_targets,
    resolved_targets,
    tied_embeddings,
)
from engine.models.precision import Precision, choose_precision
from engine.models.resolve import check_adapter
from store.settings import TrainingSection


def load_for_training(
    base: Path, adapter: Path | None, settings: TrainingSection, precision: Precision | None = None
) -> Any:
    """Return the model to train, on the CPU (the trainer moves it; a 4-bit base is loaded on the GPU directly).

    `lora`: a PeftModel. With `adapter` (the parent's), training continues that adapter, rank and targets included;
    without, a new one is created from the `lora_*` settings (ReflectEvo, appendix: q, k, v projections, r 8, alpha 32,
    dropout 0.1), which equals the base until it is trained. `qlora`: the same on a frozen base in 4-bit NF4. `full`:
    the complete model, `adapter` merged, in float32, because bfloat16 would lose small updates. Seed torch before the
    call. Raises TrainingRefused when the targets do not fit the model, or name an embedding with tied weights.
    """
    precision = precision or choose_precision()
    if settings.method == "full":
        # Merging an adapter leaves the other weights frozen.
        return whole_model(base, adapter, "float32").requires_grad_(True)
    quantised = settings.method == "qlora"
    model = _quantised(base, settings, precision) if quantised else load_model(base, precision.weights)
    if adapter is not None:
        from peft import PeftModel

        check_adapter(adapter)
        adapted = PeftModel.from_pretrained(model, adapter, is_trainable=True)
        if tied_embeddings(model, adapted.peft_config["default"].target_modules or ()):
            raise TrainingRefused(
                f"the parent's adapter {adapter} adapts {EMBEDDINGS_TIED}; start from another policy."
            )
        return adapted
    return _with_new_adapter(model, settings)


def hold_adapter_in_float32(model: Any) -> None:
    """Cast a trainable adapter to float32, as on an unquantised base.

    On a 4-bit base TRL casts it to bfloat16, in which small updates are lost; a resume would restore it in float32, so
    that a stop would change the result.
    """
    for part in model.parameters():
        if part.requires_grad:
            part.data = part.data.float()


def hold_frozen_layers_in_bfloat16(model: Any) -> None:
    """Store frozen linear layers in bfloat16, as autocast casts them at each use: same numbers, half the memory.

    Only for models that run under bfloat16 autocast. Autocast casts a frozen float32 weight again in every forward
    pass and keeps the copy until the backward pass. Norms, embeddings (with a head that shares their weights) and
    trainable weights stay in float32.
    """
    import torch

    embedding = model.get_input_embeddings().weight
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear) and layer.weight is not embedding and not layer.weight.requires_grad:
            for part in layer.parameters(recurse=False):
                part.data = part.data.to(torch.bfloat16)


def _quantised(base: Path, settings: TrainingSection, precision: Precision) -> Any:
    """Load `base` in 4-bit NF4 with double quantisation, computing in bfloat16 (QLoRA, arXiv 2305.14314)."""
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
    if tied := tied_embeddings(model, targets):
        raise TrainingRefused(f"lora_targets names {', '.join(tied)}, {EMBEDDINGS_TIED}; remove it.")
    if "lm_head" in targets:
        raise TrainingRefused(
            "lora_targets names lm_head, which TRL can't train (its loss bypasses the head); remove it."
        )
    if missing := missing_targets(model, targets):
        raise TrainingRefused(
            f"lora_targets names {', '.join(missing)}, and the model has no such module. Its linear layers are: "
            f"{', '.join(linear_layers(model))}."
        )
    configuration = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=resolved_targets(model, targets),
    )
    try:
        return get_peft_model(model, configuration)
    except ValueError as error:
        raise TrainingRefused(
            f"lora_targets = {targets} doesn't fit this model ({error}). Its linear layers are: "
            f"{', '.join(linear_layers(model))}."
        ) from error
