"""Finds LoRA targets that would adapt an embedding whose weights are also those of the output layer.

An adapter changes the embedding alone. While training, the output layer keeps the old weights; merged, they are tied
again, so the output layer changes too and the served policy is not the trained one (transformers#45127). Independent of
trainers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

EMBEDDINGS_TIED = (
    "the embeddings, whose weights this model shares with its output layer: the adapter would be merged into both, and "
    "the served policy would not be the trained one"
)
"""Why such a target is refused, as an apposition to its name."""


def tied_embeddings(model: Any, targets: Iterable[str] | str) -> list[str]:
    """Return the targets that name the input embedding of a model with tied weights; empty for other models.

    Names are matched as PEFT matches them: a target is the full name of a module or its end after a dot. `all-linear`
    names no embedding.
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
    layers = [getattr(embedding, "base_layer", embedding), embedding]
    names = [name.removesuffix(".base_layer") for name, module in model.named_modules() if module in layers]
    return sorted(target for target in targets if any(name == target or name.endswith(f".{target}") for name in names))
