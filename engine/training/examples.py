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
from engine.prompts.leakage import unfit_target
from engine.prompts.rollout import Message

NOT_A_PREFIX = "the chat template renders the prompt differently once an answer follows"
BEGINS_TWICE = "the chat template doubles the begin token"
TOO_LONG = "too long"


@dataclass(frozen=True)
class Example:
    """A prompt and the completion to learn; the loss is on the completion only."""

    id: int
    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]
    question_id: int | None = None
    """Question it was made of: examples of one question are trained on or held out together."""


@dataclass(frozen=True)
class Pair:
    """A prompt with a preferred and a rejected completion (D± or Dpref of ReflectEvo, arXiv 2505.16475)."""

    id: int
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    question_id: int | None = None
    """Question it was made of, as in `Example`."""

    def sides(self) -> tuple[Example, Example]:
        """The prompt with each of its completions: chosen, rejected."""
        return (
            Example(self.id, self.prompt, self.chosen, self.question_id),
            Example(self.id, self.prompt, self.rejected, self.question_id),
        )


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


def examine(example: AnyExample, tokenizer: Any, max_length: int) -> tuple[tuple[TokenView, ...], str | None]:
    """The view of an example (of a pair: both), and why it can't be trained on, or None.

    Unfit are a prompt whose tokens change once an answer follows (there is no view then), a begin token twice, a
    target that is empty or given away by the prompt, and more than `max_length` tokens.
    """
    sides = example.sides() if isinstance(example, Pair) else (example,)
    try:
        views = tuple(token_view(side, tokenizer) for side in sides)
    except PrefixMismatch:
        return (), NOT_A_PREFIX
    for side in sides:
        reason = unfit_target(side.prompt, side.completion)
        if reason:
            return views, reason
    begin = tokenizer.bos_token_id
    if begin is not None and any(view.ids[:2] == (begin, begin) for view in views):
        return views, BEGINS_TWICE
    longest = max(len(view.ids) for view in views)
    return views, f"{TOO_LONG}: {longest} tokens, longer than {max_length}" if longest > max_length else None


def fit(examples: Iterable[Kept], tokenizer: Any, max_length: int) -> Fitted[Kept]:
    """Keep the examples of at most `max_length` tokens (of a pair: both sides); never cut one.

    Whatever else `examine` finds unfit is dropped too, with its reason. Raises TrainingRefused when there were
    examples and none of them can be kept.
    """
    kept: list[Kept] = []
    dropped: list[tuple[int, str]] = []
    total = 0
    for example in examples:
        views, reason = examine(example, tokenizer, max_length)
        if reason:
            dropped.append((example.id, reason))
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


def summarise_dropped(dropped: Iterable[tuple[int, str]]) -> str:
    """How many examples were left out for which kind of reason, e.g. "2 too long, 1 the completion is empty"."""
    kinds = Counter(reason.split(":", 1)[0] for _, reason in dropped)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def _nothing_left(dropped: Sequence[tuple[int, str]], max_length: int) -> str:
    return (
        f"none of the {len(dropped)} examples can be trained on: {summarise_dropped(dropped)} "
        f"(max_length = {max_length}). Raise max_length for those that are too long; give the model a chat template "
        "that renders a prompt the same way with and without an answer; generate again what states its target."
    )
