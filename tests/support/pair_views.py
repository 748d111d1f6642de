"""Token views of both sides of a preference pair."""

from __future__ import annotations

from engine.prompts.chat_format import ChatFormat
from engine.training.examples import Pair, TokenView, token_view


def pair_views(pair: Pair, form: ChatFormat) -> tuple[TokenView, TokenView]:
    """Return tokens and loss masks of the chosen and of the rejected side. Raises PrefixMismatch as `token_view`."""
    chosen, rejected = pair.sides()
    return token_view(chosen, form), token_view(rejected, form)
