"""Token views of both sides of a preference pair."""

from __future__ import annotations

from typing import Any

from engine.training.examples import Pair, TokenView, token_view


def pair_views(pair: Pair, tokenizer: Any) -> tuple[TokenView, TokenView]:
    """Return tokens and loss masks of the chosen and of the rejected side. Raises PrefixMismatch as `token_view`."""
    chosen, rejected = pair.sides()
    return token_view(chosen, tokenizer), token_view(rejected, tokenizer)
