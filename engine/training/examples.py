"""Training examples and their tokens: what a model sees, what it learns from, and what is left out and why.

Pure: rows and a tokenizer in, values out. Knows nothing of torch, TRL, databases or files. The chat template is
applied exactly as TRL applies it, so that the masks shown here are the masks trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from engine.errors import TrainingRefused
from engine.prompts import Message

NOT_A_PREFIX = "the chat template renders the prompt differently once an answer follows"


@dataclass(frozen=True)
class Example:
    """A prompt and the completion to learn; the loss is on the completion only."""

    id: int
    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]


@dataclass(frozen=True)
class Pair:
    """A prompt with a preferred and a rejected completion (D± or Dpref of ReflectEvo, arXiv 2505.16475)."""

    id: int
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]


AnyExample = Example | Pair
Kept = TypeVar("Kept", bound=AnyExample)


@dataclass(frozen=True)
class TokenView:
    """The tokens of one prompt with one completion."""

    ids: tuple[int, ...]
    loss_mask: tuple[int, ...]
    """1 where the loss is taken (the completion with its end of turn), else 0; as long as `ids`."""


@dataclass(frozen=True)
class Fitted(Generic[Kept]):
    """Examples that can be trained on whole, and those left out."""

    kept: tuple[Kept, ...]
    dropped: tuple[tuple[int, str], ...]
    """Id and reason of each example left out."""
    tokens: int = 0
    """Tokens of the kept examples, prompts included (both completions of a pair)."""


class PrefixMismatch(ValueError):
    """The tokens of the prompt alone aren't a prefix of the tokens of prompt and completion."""


def token_view(example: Example, tokenizer: Any) -> TokenView:
    """Tokens and loss mask of one example, as the trainer will see them.

    Raises PrefixMismatch when the chat template renders the prompt differently with the completion behind it.
    """
    return _view(example.prompt, example.completion, tokenizer)


def pair_views(pair: Pair, tokenizer: Any) -> tuple[TokenView, TokenView]:
    """Tokens and loss masks of the chosen and of the rejected side. Raises PrefixMismatch as `token_view`."""
    return _view(pair.prompt, pair.chosen, tokenizer), _view(pair.prompt, pair.rejected, tokenizer)


def fit(examples: Iterable[Kept], tokenizer: Any, max_length: int) -> Fitted[Kept]:
    """Keep the examples of at most `max_length` tokens (of a pair: both sides); never cut one.

    An example whose prompt isn't a token prefix of prompt + completion is dropped too: its loss mask would be
    wrong. Raises TrainingRefused when there were examples and none of them can be kept.
    """
    kept: list[Kept] = []
    dropped: list[tuple[int, str]] = []
    total = 0
    for example in examples:
        try:
            views = pair_views(example, tokenizer) if isinstance(example, Pair) else (token_view(example, tokenizer),)
        except PrefixMismatch:
            dropped.append((example.id, NOT_A_PREFIX))
            continue
        longest = max(len(view.ids) for view in views)
        if longest > max_length:
            dropped.append((example.id, f"{longest} tokens, longer than {max_length}"))
            continue
        kept.append(example)
        total += sum(len(view.ids) for view in views)
    if dropped and not kept:
        raise TrainingRefused(_nothing_left(dropped, max_length))
    return Fitted(tuple(kept), tuple(dropped), total)


def _view(prompt: Sequence[Message], completion: Sequence[Message], tokenizer: Any) -> TokenView:
    prompt_ids = _ids(prompt, tokenizer, generation_prompt=True)
    ids = _ids((*prompt, *completion), tokenizer, generation_prompt=False)
    if ids[: len(prompt_ids)] != prompt_ids:
        raise PrefixMismatch(NOT_A_PREFIX)
    mask = (0,) * len(prompt_ids) + (1,) * (len(ids) - len(prompt_ids))
    return TokenView(ids, mask)


def _ids(messages: Sequence[Message], tokenizer: Any, *, generation_prompt: bool) -> tuple[int, ...]:
    rendered = tokenizer.apply_chat_template(
        list(messages), tokenize=True, return_dict=True, add_generation_prompt=generation_prompt
    )
    return tuple(rendered["input_ids"])


def _nothing_left(dropped: Sequence[tuple[int, str]], max_length: int) -> str:
    mismatched = Counter(reason == NOT_A_PREFIX for _, reason in dropped)[True]
    if mismatched == len(dropped):
        return (
            f"none of the {len(dropped)} examples can be trained on: {NOT_A_PREFIX}. "
            "Give the model a chat template that renders a prompt the same way with and without an answer."
        )
    return (
        f"none of the {len(dropped)} examples can be trained on: {len(dropped) - mismatched} are longer than "
        f"max_length = {max_length} tokens, {mismatched} don't fit the chat template. Raise max_length."
    )
