"""Runs what the prompts of a batch have in common through the model once.

Worked examples stand in front of every prompt of their task, and DPO's batch holds each prompt twice, with the chosen
and with the rejected completion behind it: most tokens of a batch are repetitions. In a causal model the hidden states
of a common beginning are the same in every row, so rows are packed into one that holds each beginning once and the
rests behind it; a mask hides every rest from the others, and positions go on from where the beginning ended. What comes
out is laid out as before, so TRL's losses don't notice. Dropout is drawn once for what is computed once. Nothing here
depends on the device. Knows nothing of losses or examples.
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
"""Packed, a batch must cost less than this share of what it costs as it is: a mask is dearer than plain causality."""
_PROBE_TOKENS = 24
_TOLERANCE = {True: 1e-3, False: 0.03}
"""Relative error allowed to the probe's packed hidden states, in float32 and below it: bfloat16 rounds to 0.4 % at each
step; a model that needs its tokens in a row (a state space, distances by index) is further off."""


@dataclass(frozen=True)
class Packed:
    """N rows of at most L tokens packed into P rows of W tokens, with the way back."""

    input_ids: torch.Tensor
    """(P, W)"""
    position_ids: torch.Tensor
    """(P, W)"""
    visible: torch.Tensor
    """(P, 1, W, W), true where a token (third) may look at another (fourth)."""
    rows: torch.Tensor
    """(N,): which packed row holds a row of the batch."""
    places: torch.Tensor
    """(N, L): where in it a token of the batch is."""

    def unpacked(self, hidden: torch.Tensor) -> torch.Tensor:
        """(P, W, H) → (N, L, H). What stands in the place of padding has no meaning, as before."""
        return hidden[self.rows[:, None], self.places]


def pack(input_ids: torch.Tensor, attention_mask: torch.Tensor, linear: float) -> Packed | None:
    """Pack a batch padded on the right; both (N, L). `linear` as `linear_cost` says it of the model.

    None when that wouldn't cost a tenth less than the batch as it is, and when padding stands elsewhere.
    """
    count, width = input_ids.shape
    lengths = attention_mask.sum(1).tolist()
    real = torch.arange(width, device=attention_mask.device)[None] < attention_mask.sum(1, keepdim=True)
    if not torch.equal(real, attention_mask.bool()):
        return None
    rows = [ids[:length] for ids, length in zip(input_ids.tolist(), lengths, strict=True)]
    order = sorted(range(count), key=rows.__getitem__)  # each row has most in common with its neighbours
    common = [0, *(_common(rows[one], rows[other]) for one, other in pairwise(order))]
    starts, packed_width = _cheapest([lengths[index] for index in order], common, linear)
    if _cost(len(starts), packed_width, linear) > _WORTH * _cost(count, width, linear):
        return None
    return _laid_out(input_ids, lengths, order, common, starts)


def _common(row: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two rows begin with in common."""
    shortest = min(len(row), len(other))
    return next((at for at in range(shortest) if row[at] != other[at]), shortest)


def _cost(rows: int, width: int, linear: float) -> float:
    """Of a batch of rows so wide: linear layers a token, attention a pair of tokens of a row."""
    return rows * width * (linear + width)


def _cheapest(lengths: Sequence[int], common: Sequence[int], linear: float) -> tuple[list[int], int]:
    """Which of the sorted rows begin a packed row, and how wide the widest is: the split that costs least.

    One wide row repeats nothing, but its tokens are masked against each other; several are padded to the widest. Split
    is where rows have least in common.
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
    """The rows in `order`, each without what it has in common with the one before, unless it starts a packed row."""
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
    """What a token costs in a model's linear layers, counted in tokens attended to.

    p weights a layer take 2p operations a token; attention of width h takes 4h for each token attended to (QKᵀ and the
    weighted sum of V): p / 2h.
    """
    config = backbone.config.get_text_config()
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    weights = sum(
        part.in_features * part.out_features for part in backbone.modules() if isinstance(part, torch.nn.Linear)
    )
    return float(weights / config.num_hidden_layers / (2 * config.num_attention_heads * head))


def share_prompts_in(trainer: Any, *models: Any) -> None:
    """Make the models of a transformers Trainer share prompts, each where it can; not where its layers are sharded."""
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        return
    with trainer.accelerator.autocast():
        for model in models:
            share_prompts(trainer.accelerator.unwrap_model(model))


def share_prompts(model: Any) -> bool:
    """Make a causal language model (or PeftModel) run batches packed from now on. False, and no change, where it can't.

    It can where attention is PyTorch's over the whole length, positions can be given, and a probe shows that the packed
    hidden states of this very model are those of the plain ones.
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
    """`plain` on packed batches, wherever packing costs less."""

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
    """How far packed hidden states are from plain ones (relative): four rows begin alike, two and two go on alike."""
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
