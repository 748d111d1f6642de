"""Prefix sharing: computes the common prefixes of a batch once per forward pass.

Every prompt of a task begins with the same worked examples, and a DPO batch contains each prompt twice, with the chosen
and with the rejected completion: most tokens of a batch are repetitions. In a causal model the hidden states of a
common prefix are the same in every row, so rows are packed into one that contains each prefix once, followed by the
suffixes; a mask hides the suffixes from each other, and the positions of each continue those of its prefix. The output
is unpacked to the original layout, so TRL's losses need no change. Dropout is drawn once for shared tokens. Works on
any device. Independent of losses and examples.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

_log = logging.getLogger(__name__)
_WORTH = 0.9
"""Largest packed cost, relative to the plain batch, at which packing is used: an explicit mask is slower than causal
attention."""
_PROBE_TOKENS = 24
_TOLERANCE = {True: 1e-3, False: 0.03}
"""Allowed relative error of the probe's packed hidden states, in float32 and in lower precision: bfloat16 rounds to
0.4 % at each step; models that need contiguous tokens (state space models, index-based distances) deviate further."""


@dataclass(frozen=True)
class Packed:
    """N rows of at most L tokens packed into P rows of W tokens, with the mapping back."""

    input_ids: torch.Tensor
    """(P, W)"""
    position_ids: torch.Tensor
    """(P, W)"""
    visible: torch.Tensor
    """(P, 1, W, W), true where a token (third dimension) attends to another (fourth)."""
    rows: torch.Tensor
    """(N,): packed row of each row of the batch."""
    places: torch.Tensor
    """(N, L): column of each token of the batch in its packed row."""

    def unpacked(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return (P, W, H) as (N, L, H). Values at padding positions are undefined, as in the plain model."""
        return hidden[self.rows[:, None], self.places]


def pack(input_ids: torch.Tensor, attention_mask: torch.Tensor, linear: float) -> Packed | None:
    """Pack a batch that is padded on the right; both tensors (N, L). `linear` is the `linear_cost` of the model.

    Returns None when packing would not save at least a tenth of the cost, and when padding is not on the right.
    """
    count, width = input_ids.shape
    lengths = attention_mask.sum(1).tolist()
    real = torch.arange(width, device=attention_mask.device)[None] < attention_mask.sum(1, keepdim=True)
    if not torch.equal(real, attention_mask.bool()):
        return None
    rows = [ids[:length] for ids, length in zip(input_ids.tolist(), lengths, strict=True)]
    order = sorted(range(count), key=rows.__getitem__)  # neighbours have the longest common prefixes
    common = [0, *(_common(rows[one], rows[other]) for one, other in pairwise(order))]
    starts, packed_width = _cheapest([lengths[index] for index in order], common, linear)
    if _cost(len(starts), packed_width, linear) > _WORTH * _cost(count, width, linear):
        return None
    return _laid_out(input_ids, lengths, order, common, starts)


def _common(row: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the common prefix of two rows, in tokens."""
    shortest = min(len(row), len(other))
    return next((at for at in range(shortest) if row[at] != other[at]), shortest)


def _cost(rows: int, width: int, linear: float) -> float:
    """Return the cost of `rows` rows of `width` tokens: linear layers per token, attention per pair of tokens."""
    return rows * width * (linear + width)


def _cheapest(lengths: Sequence[int], common: Sequence[int], linear: float) -> tuple[list[int], int]:
    """Return which of the sorted rows begin a packed row, and the width of the widest, for the cheapest split.

    One wide row repeats no token but attends over all of them; several rows are padded to the widest. Splits are made
    where neighbours have the shortest common prefix.
    """
    apart = sorted(range(1, len(lengths)), key=common.__getitem__)

    def split(parts: int) -> tuple[list[int], int]:
        starts = [0, *sorted(apart[: parts - 1])]
        own = [length if at in starts else length - common[at] for at, length in enumerate(lengths)]
        return starts, max(sum(own[start:end]) for start, end in pairwise([*starts, len(own)]))

    splits = [split(parts) for parts in range(1, len(lengths) + 1)]
    return min(splits, key=lambda found: _cost(len(found[0]), found[1], linear))


def _laid_out(
    ids: torch.Tensor, lengths: Sequence[int], order: Sequence[int], common: Sequence[int], starts: Sequence[int]
) -> Packed:
    """Pack the rows in `order`, each without its common prefix with the previous one unless it starts a packed row."""
    device = ids.device
    shared = [0 if at in starts else tokens for at, tokens in enumerate(common)]
    ends: list[int] = []
    spans: list[tuple[int, int]] = []  # packed row and first column of each row's own tokens
    for at, (index, taken) in enumerate(zip(order, shared, strict=True)):
        if at in starts:
            ends.append(0)
        spans.append((len(ends) - 1, ends[-1]))
        ends[-1] += lengths[index] - taken
    width = max(ends)
    input_ids, position_ids = ids.new_zeros(len(ends), width), ids.new_zeros(len(ends), width)
    visible = torch.eye(width, dtype=torch.bool, device=device).repeat(len(ends), 1, 1)
    rows, places = ids.new_zeros(len(lengths)), torch.zeros_like(ids)
    path = places[0, :0]
    for index, taken, (packed, first) in zip(order, shared, spans, strict=True):
        length, end = lengths[index], first + lengths[index] - taken
        path = torch.cat([path[:taken], torch.arange(first, end, device=device)])
        input_ids[packed, first:end] = ids[index, taken:length]
        position_ids[packed, first:end] = torch.arange(taken, length, device=device)
        seen = torch.ones(end - first, length, dtype=torch.bool, device=device).tril(taken)
        visible[packed, first:end][:, path] = seen
        rows[index], places[index, :length] = packed, path
    return Packed(input_ids, position_ids, visible[:, None], rows, places)


def linear_cost(backbone: Any) -> float:
    """Return the cost of a token in a model's linear layers, in units of one attended token.

    p weights per layer take 2p operations per token; attention of width h takes 4h per attended token (QKᵀ and the
    weighted sum of V): p / 2h.
    """
    config = backbone.config.get_text_config()
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    weights = sum(
        part.in_features * part.out_features for part in backbone.modules() if isinstance(part, torch.nn.Linear)
    )
    return float(weights / config.num_hidden_layers / (2 * config.num_attention_heads * head))


def share_prompts_in(trainer: Any, *models: Any) -> None:
    """Enable prefix sharing in the models of a transformers Trainer that support it, unless layers are sharded."""
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        return
    with trainer.accelerator.autocast():
        for model in models:
            share_prompts(trainer.accelerator.unwrap_model(model))


def share_prompts(model: Any) -> bool:
    """Enable packed batches in a causal language model (or PeftModel). Returns False, unchanged, if unsupported.

    Requires PyTorch's attention over the full length, a `position_ids` argument, and a probe of this model in which
    packed and plain hidden states agree.
    """
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    backbone = whole.base_model
    if backbone is whole or not _attends_to_everything(whole.config.get_text_config()):
        return False
    plain = backbone.forward
    if "position_ids" not in inspect.signature(plain).parameters:
        return False
    error = _probe(whole, plain, _packing(plain, float("1e9")))
    exact = backbone.dtype == torch.float32 and not torch.is_autocast_enabled(backbone.device.type)
    if error > _TOLERANCE[exact]:
        _log.info("what prompts share is computed each time: packed, the hidden states are off by %.1e", error)
        return False
    backbone.forward = _packing(plain, linear_cost(backbone))
    return True


def _packing(plain: Callable[..., Any], linear: float) -> Callable[..., Any]:
    """Wrap `plain` so that it runs packed batches wherever packing costs less."""

    def packed_forward(*args: Any, **kwargs: Any) -> Any:
        ids, mask = kwargs.get("input_ids"), kwargs.get("attention_mask")
        packed = None if args or ids is None or mask is None or mask.dim() != 2 else pack(ids, mask, linear)
        if packed is None:
            return plain(*args, **kwargs)
        given = {"input_ids": packed.input_ids, "position_ids": packed.position_ids, "attention_mask": packed.visible}
        outputs = plain(**{**kwargs, **given})
        outputs.last_hidden_state = packed.unpacked(outputs.last_hidden_state)
        return outputs

    return packed_forward


def _attends_to_everything(config: Any) -> bool:
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    sliding = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    return (
        config._attn_implementation == "sdpa"
        and set(kinds) == {"full_attention"}
        and (sliding is None or getattr(config, "layer_types", None) is not None)
    )


def _probe(model: Any, plain: Any, packed: Any) -> float:
    """Return the relative error of packed hidden states, on four rows with a common prefix and two longer ones."""
    training = model.training
    model.eval()
    device = model.get_input_embeddings().weight.device
    draw = torch.Generator().manual_seed(0)
    size = (4, 3 * _PROBE_TOKENS)
    ids = torch.randint(model.config.get_text_config().vocab_size, size, generator=draw).to(device)
    ids[1:, :_PROBE_TOKENS] = ids[:1, :_PROBE_TOKENS]
    ids[2:, _PROBE_TOKENS : 2 * _PROBE_TOKENS] = ids[:2, _PROBE_TOKENS : 2 * _PROBE_TOKENS]
    mask = torch.ones_like(ids)
    mask[1, -7:] = 0
    given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    with torch.no_grad():
        wanted, found = plain(**given).last_hidden_state.float(), packed(**given).last_hidden_state.float()
    model.train(training)
    real = mask.bool()
    return float((wanted - found)[real].norm() / wanted[real].norm())
