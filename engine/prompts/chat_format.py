"""Renders chat messages as the prompt of a model, and a reply as the text after it, with the model's chat template.

Generation, training and the views of prompts render here, so that a policy is trained on exactly the prompt that it is
asked with, and on exactly what it writes after it. Knows no backend: the tokenizer is that of transformers, which vLLM
uses too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.errors import EngineError, GenerationFailed
from engine.tasks.answers.thoughts import split_thought

_PLACEHOLDER = "REPLY-0-PLACEHOLDER"
_OPENED = re.compile(r"(?i)(?:<(?:seed:)?think(?:ing)?>|\[THINK\])\s*$")
"""A prompt that ends inside a thought."""
_THOUGHT = re.compile(r"(?i)</(?:seed:)?think(?:ing)?>|\[/THINK\]|<\|channel\|>\s*final")
"""What a template writes before the reply of a model that thinks."""
NO_THOUGHT = "the chat template asks for a thought, and the target has none"
"""Why an example can't be trained on: the policy would learn to reply at once, which it is not asked to."""


class TemplateFailed(EngineError):
    """Raised when a model's chat template can't render the messages of this project."""


@dataclass(frozen=True)
class ChatFormat:
    """A tokenizer with the settings that change how its chat template renders messages."""

    tokenizer: Any
    keywords: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of the template; see `generation.template`."""
    system: str = ""
    """System message before every prompt; see `generation.system`."""
    end_tokens: tuple[str, ...] = ()
    """Texts of the tokens that end a reply, beside the tokenizer's own; see `end_token_texts`."""

    def prompt_text(self, messages: Sequence[Mapping[str, object]]) -> str:
        """Return the text of a prompt, up to where the reply begins.

        If the last message is the assistant's, the reply continues it, so its turn is left open.

        Raises:
            GenerationFailed: when the chat template changes the last message, so that it can't be continued.
            TemplateFailed: when the template can't render the messages.
        """
        continues = messages[-1]["role"] == "assistant"
        try:
            return self._render(messages, add_generation_prompt=not continues, continue_final_message=continues)
        except ValueError as error:
            if not continues:
                raise
            raise GenerationFailed(f"the model's chat template can't continue a reply: {error}") from error

    def prompt_tokens(self, messages: Sequence[Mapping[str, object]]) -> list[int]:
        """Return the token ids of a prompt, up to where the reply begins. Raises as `prompt_text` does."""
        return self.tokens(self.prompt_text(messages))

    def tokens(self, text: str) -> list[int]:
        """Return the token ids of rendered text, which contains its special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def reply_text(self, messages: Sequence[Mapping[str, object]], reply: str) -> str:
        """Return what a policy writes after a prompt to give a reply: the reply and the end of its turn.

        Where a template puts a mark of its own before replies, the policy writes that too. A reply that begins with a
        thought is written with it where the template asks for one, and without it otherwise.
        """
        mark, after = self._around_reply(messages)
        thought, text = self.divided(reply)
        before = thought if thought and self.asks_for_thought else mark
        return f"{before}{text.strip()}{self._end_of(after)}"

    def opens_thought(self, prompt: str) -> bool:
        """Check whether a rendered prompt ends inside a thought."""
        return _OPENED.search(prompt) is not None

    def divided(self, target: str) -> tuple[str, str]:
        """Divide the target of a training into its thought, which may be empty, and the reply after it."""
        thought, text = split_thought(target, opened=self._opens)
        return (thought, text) if text else ("", target)

    @cached_property
    def _opens(self) -> bool:
        return self.opens_thought(self.prompt_text([{"role": "user", "content": "?"}]))

    @cached_property
    def asks_for_thought(self) -> bool:
        """Check whether a policy is asked to think before it replies: the prompt ends inside a thought, or the template
        shows past replies with an empty thought, or in the channel that follows that of thoughts."""
        messages = [{"role": "user", "content": "?"}]
        mark, _ = self._around_reply(messages)
        return self._opens or _THOUGHT.search(mark) is not None

    def _around_reply(self, messages: Sequence[Mapping[str, object]]) -> tuple[str, str]:
        """Return what the template writes between a prompt and its reply, and after the reply."""
        prompt = self.prompt_text(messages)
        shown = self._render(
            [*messages, {"role": "assistant", "content": _PLACEHOLDER}],
            add_generation_prompt=False,
            continue_final_message=False,
        )
        before, _, after = shown.rpartition(_PLACEHOLDER)
        return before[len(prompt) :] if before.startswith(prompt) else "", after

    def _end_of(self, after: str) -> str:
        """Return the end of a turn up to the token that ends a generation; the tokenizer's own if there is none."""
        ends = [one for one in (self.tokenizer.eos_token, *self.end_tokens) if one]
        places = [(place, end) for end in ends if (place := after.find(end)) >= 0]
        if not places:
            return str(self.tokenizer.eos_token or "")
        place, end = min(places, key=lambda found: (found[0], -len(found[1])))
        return after[: place + len(end)]

    def _render(self, messages: Sequence[Mapping[str, object]], **options: bool) -> str:
        plain: list[dict[str, object]] = [dict(message) for message in messages]
        if not self.system:
            return self._applied(plain, **options)
        try:
            return self._applied([{"role": "system", "content": self.system}, *plain], **options)
        except TemplateFailed:
            # A template without a system role: the message begins the first turn of the user.
            first: dict[str, object] = {"role": "user", "content": f"{self.system}\n\n{plain[0]['content']}"}
            return self._applied([first, *plain[1:]], **options)

    def _applied(self, messages: list[dict[str, object]], **options: bool) -> str:
        try:
            rendered = self.tokenizer.apply_chat_template(messages, tokenize=False, **options, **self.keywords)
        except ValueError:
            raise
        except Exception as error:
            # A template is a program of the model's authors, which may raise anything.
            raise TemplateFailed(
                f"the model's chat template can't render a prompt: {type(error).__name__}: {error}; check "
                "generation.template, or put another template into chat_template.jinja beside the tokenizer"
            ) from error
        return str(rendered)


def check_chat_format(form: ChatFormat) -> None:
    """Check that a chat template renders the conversations of this project, before any text is generated.

    Raises:
        TemplateFailed: when the template can't render one, leaves out the text of a message, or doesn't use a keyword
            of the settings.
    """
    turns = [
        {"role": "user", "content": "QUESTION-1"},
        {"role": "assistant", "content": "ATTEMPT-2"},
        {"role": "user", "content": "REQUEST-3"},
    ]
    for messages in (turns[:1], turns):
        rendered = form.prompt_text(messages) + form.reply_text(messages, "REPLY-4")
        contents = [*(message["content"] for message in messages), "REPLY-4", *filter(None, [form.system.strip()])]
        if lost := [content for content in contents if content not in rendered]:
            raise TemplateFailed(
                f"the model's chat template leaves out the text of messages ({lost[0][:40]!r} is missing from the "
                "rendered prompt), as templates for images do; put a template for text into chat_template.jinja beside "
                "the tokenizer"
            )
    source = str(form.tokenizer.get_chat_template())
    if unused := [name for name in form.keywords if not re.search(rf"\b{re.escape(name)}\b", source)]:
        raise TemplateFailed(
            f"generation.template sets {', '.join(unused)}, which the model's chat template does not use; remove it or "
            "correct its spelling"
        )


def chat_format(base: Path, tokenizer: Any, keywords: Mapping[str, Any], system: str) -> ChatFormat:
    """Return the chat format of the model in a directory, whose generation_config.json may name more end tokens."""
    try:
        config = json.loads((base / "generation_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    ends = end_token_texts(tokenizer, config) if isinstance(config, dict) else ()
    return ChatFormat(tokenizer, keywords, system, ends)


def end_token_texts(tokenizer: Any, generation_config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the texts of the tokens that end a generation by a model's generation_config.json."""
    ids = generation_config.get("eos_token_id")
    listed = ids if isinstance(ids, list) else [ids]
    return tuple(str(tokenizer.convert_ids_to_tokens(one)) for one in listed if isinstance(one, int))
