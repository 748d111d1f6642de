"""Gives TRL prompts and completions that are rendered already: a chat template that writes messages as they are.

TRL renders conversations with the tokenizer's chat template, once as a prompt and once with the completion. Many
templates render the two differently (they drop or add thoughts, or trim). Here both are rendered by
`engine.prompts.chat_format`, as in generation, and TRL only joins and tokenizes them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from engine.prompts.chat_format import ChatFormat
from engine.training.examples import Example, texts_of

_VERBATIM = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def verbatim_tokenizer(form: ChatFormat) -> Any:
    """Return a copy of the tokenizer whose chat template joins the contents of the messages, and adds nothing."""
    tokenizer = copy.deepcopy(form.tokenizer)
    tokenizer.chat_template = _VERBATIM
    return tokenizer


def prompts(examples: Sequence[Example], form: ChatFormat) -> list[list[dict[str, str]]]:
    """Return the rendered prompt of each example, as one message."""
    return [[{"role": "user", "content": texts_of(example, form)[0]}] for example in examples]


def completions(examples: Sequence[Example], form: ChatFormat) -> list[list[dict[str, str]]]:
    """Return the rendered completion of each example, with its end of turn, as one message."""
    return [[{"role": "assistant", "content": texts_of(example, form)[1]}] for example in examples]
