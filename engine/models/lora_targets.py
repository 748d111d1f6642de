"""Checks LoRA targets against a model: layers that it doesn't have, and embeddings shared with the output layer.

An adapter on a shared embedding changes the embedding alone. While training, the output layer keeps the old weights;
merged, they are tied again, so the output layer changes too and the served policy is not the trained one
(transformers#45127). Names are matched as PEFT matches them: a target is the full name of a module or its end after a
dot. Independent of trainers.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.models.quiet_libraries import quiet_libraries
from engine.models.remote_code import trusts
from store.settings.training import ATTENTION_INPUTS

EMBEDDINGS_TIED = (
    "the embeddings, whose weights this model shares with its output layer: the adapter would be merged into both, and "
    "the served policy would not be the trained one"
)
"""Why such a target is refused, as an apposition to its name."""


def tied_embeddings(model: Any, targets: Iterable[str] | str) -> list[str]:
    """Return the targets that name the input embedding of a model with tied weights; empty for other models.

    `all-linear` and `auto` name no embedding.
    """
    if isinstance(targets, str):
        return []
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and (
        bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))
        or getattr(head, "weight", None) is getattr(embedding, "weight", None)
    )
    if not tied:
        return []
    names = [name.removesuffix(".base_layer") for name, module in model.named_modules() if module is embedding]
    return sorted(target for target in targets if any(_names(target, name) for name in names))


def resolved_targets(model: Any, targets: Iterable[str] | str) -> list[str] | str:
    """Return the names of the modules to adapt: those of `auto` are looked up in the model.

    Where a model names its projections of queries, keys and values in an unknown way, `auto` is `all-linear`.
    """
    if targets == "auto":
        layers = linear_layers(model)
        return [name for name in ATTENTION_INPUTS if name in layers] or "all-linear"
    return targets if isinstance(targets, str) else list(targets)


def missing_targets(model: Any, targets: Iterable[str] | str) -> list[str]:
    """Return the targets that name no module of a model, in their order; none for `all-linear` and `auto`."""
    if isinstance(targets, str):
        return []
    names = [name for name, _ in model.named_modules()]
    return [target for target in targets if not any(_names(target, name) for name in names)]


def linear_layers(model: Any) -> list[str]:
    """Return the last parts of the names of a model's linear layers, sorted; transposed ones (GPT-2) are included."""
    return sorted(
        {
            name.rsplit(".", 1)[-1]
            for name, part in model.named_modules()
            if hasattr(part, "in_features") or type(part).__name__ == "Conv1D"
        }
    )


def empty_model(path: Path) -> Any | None:
    """Build the model of a directory without weights, in seconds; None where its configuration does not allow it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    quiet_libraries()
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=trusts(path))
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=trusts(path))
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError, RuntimeError):
        return None


def _names(target: str, module: str) -> bool:
    return module == target or module.endswith(f".{target}")
