"""Runs each pair's common beginning through the model once: the prompt of a preference pair is half its tokens.

DPO's batch holds every prompt twice, with the chosen and with the rejected completion behind it. In a causal model the
hidden states of a common beginning are the same in both, so a pair is packed into one row (beginning, rest of chosen,
rest of rejected), whose mask hides the chosen rest from the rejected one and whose positions start again behind the
beginning. What comes out is laid out as before, so TRL's loss doesn't notice. Nothing here depends on the device.
Knows nothing of trainers, losses or examples.
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from typing import Any

import torch

_log = logging.getLogger(__name__)
_PROBE_TOKENS = 24
_TOLERANCE = {True: 1e-3, False: 0.03}
"""Relative error allowed to the probe's packed hidden states, in float32 and below it: bfloat16 rounds to 0.4 % at each
step; a model that needs its tokens in a row (a state space, distances by index) is further off."""


@dataclass(frozen=True)
class Packed:
    """Pairs packed one a row, with the way back. B pairs, L tokens a side, W tokens a packed row."""

    input_ids: torch.Tensor
    """(B, W)"""
    position_ids: torch.Tensor
    """(B, W)"""
    visible: torch.Tensor
    """(B, 1, W, W), true where a token (third) may look at another (fourth)."""
    places: torch.Tensor
    """(2B, L): where in its packed row a token of the unpacked batch is."""

    def unpacked(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, W, H) → (2B, L, H). What stands in the place of padding has no meaning, as before."""
        rows = torch.arange(hidden.shape[0], device=hidden.device).repeat(2)[:, None]
        return hidden[rows, self.places]


def pack(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Packed | None:
    """Pack a batch of TRL's: all chosen sides, then all rejected ones, padded on the right; both (2B, L).

    None when a packed row wouldn't be shorter than the two it replaces, padding included.
    """
    chosen, rejected = input_ids.chunk(2)
    real, other_real = attention_mask.bool().chunk(2)
    width = input_ids.shape[1]
    common = ((chosen == rejected) & real & other_real).long().cumprod(1).sum(1, keepdim=True)
    length, other_length = real.sum(1, keepdim=True), other_real.sum(1, keepdim=True)
    packed_width = int((length + other_length - common).max())
    if packed_width >= 2 * width:
        return None
    column = torch.arange(packed_width, device=input_ids.device)[None]
    branch = column >= length
    positions = torch.where(branch, column - length + common, column).clamp(max=width - 1)
    ids = torch.where(branch, rejected.gather(1, positions), chosen.gather(1, positions))
    causal = column[:, :, None] >= column[:, None, :]
    other_rest = branch[:, :, None] & (column >= common)[:, None, :] & ~branch[:, None, :]
    place = torch.arange(width, device=input_ids.device)[None].expand_as(chosen)
    other_place = torch.where(place < common, place, place - common + length)
    places = torch.cat([place, other_place]).clamp(max=packed_width - 1)
    return Packed(ids, positions, (causal & ~other_rest)[:, None], places)


def share_prompts(model: Any) -> bool:
    """Make a causal language model (or PeftModel) run pairs packed from now on. False, and no change, where it can't.

    It can where attention is PyTorch's over the whole length, positions can be given, and a probe shows that the packed
    hidden states of this very model are those of the plain ones. From then on every batch must consist of pairs.
    """
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    backbone = whole.base_model
    if backbone is whole or not _attends_to_everything(whole.config.get_text_config()):
        return False
    plain = backbone.forward
    if "position_ids" not in inspect.signature(plain).parameters:
        return False

    def packed_forward(*args: Any, **kwargs: Any) -> Any:
        ids, mask = kwargs.get("input_ids"), kwargs.get("attention_mask")
        packed = None if args or ids is None or mask is None or mask.dim() != 2 else pack(ids, mask)
        if packed is None:
            return plain(*args, **kwargs)
        given = {"input_ids": packed.input_ids, "position_ids": packed.position_ids, "attention_mask": packed.visible}
        outputs = plain(**{**kwargs, **given})
        outputs.last_hidden_state = packed.unpacked(outputs.last_hidden_state)
        return outputs

    error = _probe(whole, plain, packed_forward)
    exact = backbone.dtype == torch.float32 and not torch.is_autocast_enabled(backbone.device.type)
    if error > _TOLERANCE[exact]:
        _log.info("prompts of pairs are computed twice: packed, the hidden states are off by %.1e", error)
        return False
    backbone.forward = packed_forward
    return True


def _attends_to_everything(config: Any) -> bool:
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    sliding = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    return (
        config._attn_implementation == "sdpa"
        and set(kinds) == {"full_attention"}
        and (sliding is None or getattr(config, "layer_types", None) is not None)
    )


def _probe(model: Any, plain: Any, packed: Any) -> float:
    """How far packed hidden states are from plain ones (relative) on pairs that share a third of their tokens."""
    training = model.training
    model.eval()
    device = model.get_input_embeddings().weight.device
    draw = torch.Generator().manual_seed(0)
    size = (4, 3 * _PROBE_TOKENS)
    ids = torch.randint(model.config.get_text_config().vocab_size, size, generator=draw).to(device)
    ids[2:, :_PROBE_TOKENS] = ids[:2, :_PROBE_TOKENS]
    mask = torch.ones_like(ids)
    mask[1, -7:] = 0
    given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    with torch.no_grad():
        wanted, found = plain(**given).last_hidden_state.float(), packed(**given).last_hidden_state.float()
    model.train(training)
    real = mask.bool()
    return float((wanted - found)[real].norm() / wanted[real].norm())
