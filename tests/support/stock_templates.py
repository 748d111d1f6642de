"""TRL's stock chat templates on a tiny tokenizer: what a policy is asked with each, and what it is trained to write."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import EngineError
from engine.prompts.chat_format import NO_THOUGHT, ChatFormat, check_chat_format
from tests.engine.tiny_model import tiny_tokenizer

SWITCH = "enable_thinking"
"""Keyword by which most templates of models that think turn thoughts off."""

TURNS = (
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "Answer: 5"},
    {"role": "user", "content": "That is wrong. Reflect on it."},
)
REPLY = "I was off by one."


class Rendered(NamedTuple):
    """One stock template under one setting."""

    name: str
    keywords: dict[str, bool]
    form: ChatFormat
    refused: str
    """Why policies with this template can't be trained; empty if they can."""


@cache
def tokenizer() -> Any:
    """Return a tokenizer of bytes, to which a template is given for each test."""
    return tiny_tokenizer()


@cache
def stock_templates() -> dict[str, str]:
    """Return TRL's chat templates by name, without its own variants for training."""
    spec = importlib.util.find_spec("trl")
    if spec is None or spec.origin is None:
        return {}
    found = sorted((Path(spec.origin).parent / "chat_templates").glob("*.jinja"))
    return {path.stem: path.read_text(encoding="utf-8") for path in found if not path.stem.endswith("_training")}


def with_template(source: str, keywords: dict[str, Any] | None = None, system: str = "") -> ChatFormat:
    """Return the chat format of a template."""
    made = copy.copy(tokenizer())
    made.chat_template = source
    return ChatFormat(made, keywords or {}, system)


def cases() -> Iterator[tuple[str, dict[str, bool]]]:
    """Yield the name of every stock template, and of those with a switch for thoughts once more with it off."""
    for name, source in stock_templates().items():
        yield name, {}
        if SWITCH in source:
            yield name, {SWITCH: False}


def rendered(name: str, keywords: dict[str, bool]) -> Rendered:
    """Return a stock template, and why it is refused, if it is."""
    form = with_template(stock_templates()[name], keywords)
    try:
        check_chat_format(form)
    except EngineError as error:
        return Rendered(name, keywords, form, str(error))
    return Rendered(name, keywords, form, NO_THOUGHT if form.asks_for_thought else "")
