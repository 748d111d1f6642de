"""Renders chat messages as the tokens of a prompt, with the chat template of a model.

Knows no backend: the tokenizer is that of transformers, which vLLM uses too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.errors import GenerationFailed
from engine.prompts.rollout import Message


def prompt_tokens(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Return the token ids of a prompt, up to where the reply begins.

    If the last message is the assistant's, the reply continues it, so its turn is left open.

    Raises:
        GenerationFailed: when the chat template changes the last message, so that it can't be continued.
    """
    continues = messages[-1]["role"] == "assistant"
    try:
        rendered = tokenizer.apply_chat_template(
            list(messages),
            add_generation_prompt=not continues,
            continue_final_message=continues,
            tokenize=True,
            return_dict=True,
        )
    except ValueError as error:
        if not continues:
            raise
        raise GenerationFailed(f"the model's chat template can't continue a reply: {error}") from error
    return list(rendered["input_ids"])
