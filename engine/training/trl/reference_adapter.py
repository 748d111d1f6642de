"""Chooses the reference policy among the adapters of a PEFT model: TRL's frozen copy of the parent's, or the base.

TRL's DPOTrainer and KTOTrainer copy the adapter that they are given to a second one, "ref", and compute the reference
with it; without that copy, they disable all adapters. Independent of trainers and examples.
"""

from __future__ import annotations

from typing import Any

from store.settings import TrainingSection

_REFERENCE = "ref"


def keep_reference(model: Any, settings: TrainingSection) -> None:
    """Remove TRL's copy "ref" where the base is the reference: as set, or because the adapter is new."""
    adapters = getattr(model, "peft_config", {})
    if _REFERENCE in adapters and (settings.reference == "base" or _is_new(model)):
        model.delete_adapter(_REFERENCE)


def _is_new(model: Any) -> bool:
    """Check whether every LoRA B matrix is still zero: the adapter has no effect, so a copy of it equals the base."""
    return all(
        not bool(part.any()) for name, part in model.named_parameters() if ".lora_B." in name and ".default." in name
    )
