"""Training examples and their tokens: the input, the loss mask, and which examples are dropped and why.

Pure: rows and a chat format in, values out. Independent of torch, TRL, databases and files. A prompt has the tokens of
generation, and the loss is computed on what the policy writes after it, up to the token that ends its turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from engine.errors import TrainingRefused
from engine.prompts.chat_format import NO_THOUGHT, ChatFormat
from engine.prompts.leakage import unfit_target
from engine.prompts.rollout import Message
from store.evaluation.number_format import counted

NOT_A_PREFIX = "a token spans the end of the prompt and the beginning of the answer"
BEGINS_TWICE = "the chat template doubles the begin token"
TOO_LONG = "too long"


@dataclass(frozen=True)
class Example:
    """A prompt and the completion to learn; the loss is computed on the completion only."""

    id: int
    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]
    question_id: int | None = None
    """Question it was built from: the examples of one question are trained on or held out together."""
    repeatable: str = ""
    """Text of the prompt that the completion may repeat: a right attempt, which a correction gives again."""


@dataclass(frozen=True)
class LabelledExample(Example):
    """A prompt with a completion that is desirable or not (KTO, arXiv 2402.01306)."""

    desirable: bool = True


@dataclass(frozen=True)
class Pair:
    """A prompt with a preferred and a rejected completion (D± or Dpref of ReflectEvo, arXiv 2505.16475)."""

    id: int
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    question_id: int | None = None
    """Question it was built from, as in `Example`."""

    def sides(self) -> tuple[Example, Example]:
        """Return the prompt with each of its completions: chosen, rejected."""
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
    """1 where the loss is computed (the completion with the token that ends it), else 0; as long as `ids`."""


@dataclass(frozen=True)
class Fitted(Generic[Kept]):
    """Examples that can be trained on without truncation, and those that were dropped."""

    kept: tuple[Kept, ...]
    dropped: tuple[tuple[int, str], ...]
    """Id and reason of each dropped example."""
    tokens: int = 0
    """Tokens of the kept examples, prompts included (both completions of a pair)."""


class PrefixMismatch(ValueError):
    """The tokens of the prompt alone are not a prefix of the tokens of prompt and completion."""


def texts_of(example: Example, form: ChatFormat) -> tuple[str, str]:
    """Return the rendered prompt of an example, and the rendered completion with its end of turn."""
    (completion,) = example.completion
    return form.prompt_text(example.prompt), form.reply_text(example.prompt, completion["content"])


def token_view(example: Example, form: ChatFormat) -> TokenView:
    """Return the tokens and loss mask of one example, as the trainer computes them.

    Raises PrefixMismatch when a token contains both the end of the prompt and the beginning of the completion.
    """
    prompt, completion = texts_of(example, form)
    prompt_ids, ids = form.tokens(prompt), form.tokens(prompt + completion)
    if ids[: len(prompt_ids)] != prompt_ids:
        raise PrefixMismatch(NOT_A_PREFIX)
    return TokenView(tuple(ids), (0,) * len(prompt_ids) + (1,) * (len(ids) - len(prompt_ids)))


def examine(example: AnyExample, form: ChatFormat, max_length: int) -> tuple[tuple[TokenView, ...], str | None]:
    """Return the tokens of an example (both sides of a pair), and why it cannot be trained on, or None.

    The thought of a target is not looked at. Reasons are a token that spans the end of the prompt (no tokens are
    returned then), a missing thought where the template asks for one, a duplicate begin token, a
    target that is empty or stated in the prompt, and more than `max_length` tokens.
    """
    sides = example.sides() if isinstance(example, Pair) else (example,)
    try:
        views = tuple(token_view(side, form) for side in sides)
    except PrefixMismatch:
        return (), NOT_A_PREFIX
    for side in sides:
        (written,) = side.completion
        thought, text = form.divided(written["content"])
        if form.asks_for_thought and not thought:
            return views, NO_THOUGHT
        reply: Message = {"role": "assistant", "content": text}
        reason = unfit_target(side.prompt, (reply,), repeatable=side.repeatable)
        if reason:
            return views, reason
    begin = form.tokenizer.bos_token_id
    if begin is not None and any(view.ids[:2] == (begin, begin) for view in views):
        return views, BEGINS_TWICE
    longest = max(len(view.ids) for view in views)
    return views, f"{TOO_LONG}: {longest} tokens, longer than {max_length}" if longest > max_length else None


def fit(examples: Iterable[Kept], form: ChatFormat, max_length: int) -> Fitted[Kept]:
    """Keep the examples of at most `max_length` tokens (both sides of a pair); never truncate one.

    Examples that `examine` rejects for another reason are dropped as well, with that reason. Raises TrainingRefused
    when every example is dropped.
    """
    kept: list[Kept] = []
    dropped: list[tuple[int, str]] = []
    total = 0
    for example in examples:
        views, reason = examine(example, form, max_length)
        if reason:
            dropped.append((example.id, reason))
            continue
        kept.append(example)
        total += sum(len(view.ids) for view in views)
    if dropped and not kept:
        raise TrainingRefused(_nothing_left(dropped, max_length))
    return Fitted(tuple(kept), tuple(dropped), total)


def one_sided(examples: Iterable[AnyExample]) -> str | None:
    """Return why labelled examples can't be trained on: all of them have one label. None if they can, or have none."""
    labels = Counter(example.desirable for example in examples if isinstance(example, LabelledExample))
    if len(labels) != 1:
        return None
    ((desirable, count),) = labels.items()
    kind, missing = ("desirable", "undesirable") if desirable else ("undesirable", "desirable")
    return (
        f"{counted(count, 'example')} to train on, all of them {kind}, and the loss needs {missing} ones too. "
        "Generate more, or choose another training.setting."
    )


def summarise_dropped(dropped: Iterable[tuple[int, str]]) -> str:
    """Return the number of dropped examples per kind of reason, e.g. "2 too long, 1 the completion is empty"."""
    kinds = Counter(reason.split(":", 1)[0] for _, reason in dropped)
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())


def _nothing_left(dropped: Sequence[tuple[int, str]], max_length: int) -> str:
    return (
        f"none of {counted(len(dropped), 'example')} can be trained on: {summarise_dropped(dropped)} "
        f"(max_length = {max_length}). Raise max_length for those that are too long; generate again what states its "
        "target; where targets have no thought, set generation.template, e.g. to { enable_thinking = false }."
    )
