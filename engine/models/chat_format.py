"""Renders chat messages as the prompt of a model, and a reply as the text after it, with the model's chat template.

Generation, training and the views of prompts render here, so that a policy is trained on exactly the prompt that it is
asked with, and on exactly what it writes after it. Knows no backend: the tokenizer is that of transformers, which vLLM
uses too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import EngineError, GenerationFailed

_PLACEHOLDER = "REPLY-0-PLACEHOLDER"


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

    def reply_text(self, messages: Sequence[Mapping[str, object]], reply: str, thought: str = "") -> str:
        """Return what a policy writes after a prompt to give a reply: the reply and the end of its turn.

        Args:
            messages: the messages of the prompt.
            reply: the text of the reply.
            thought: what the policy writes before it, as written, with the tags of a thought.

        A template that encloses a reply in marks of its own (e.g. the channel of its final answer) writes them here
        too; an empty thought that it shows in past turns is left out, because no policy is asked to write it.
        """
        prompt = self.prompt_text(messages)
        shown = self._render(
            [*messages, {"role": "assistant", "content": _PLACEHOLDER}],
            add_generation_prompt=False,
            continue_final_message=False,
        )
        before, _, after = shown.rpartition(_PLACEHOLDER)
        mark = before[len(prompt) :] if before.startswith(prompt) and not thought else ""
        return f"{thought}{'' if is_thought(mark) else mark}{reply.strip()}{self._end_of(after)}"

    def _end_of(self, after: str) -> str:
        """Return the end of a turn up to the token that ends a generation; the tokenizer's own if there is none."""
        ends = [one for one in (self.tokenizer.eos_token, *self.end_tokens) if one]
        places = [(place, end) for end in ends if (place := after.find(end)) >= 0]
        if not places:
            return str(self.tokenizer.eos_token or "")
        place, end = min(places, key=lambda found: (found[0], -len(found[1])))
        return after[: place + len(end)]

    def _render(self, messages: Sequence[Mapping[str, object]], **options: bool) -> str:
        import jinja2

        plain: list[dict[str, object]] = [dict(message) for message in messages]
        if not self.system:
            return self._applied(plain, **options)
        try:
            return self._applied([{"role": "system", "content": self.system}, *plain], **options)
        except (jinja2.TemplateError, TemplateFailed):
            # A template without a system role: the message begins the first turn of the user.
            first: dict[str, object] = {"role": "user", "content": f"{self.system}\n\n{plain[0]['content']}"}
            return self._applied([first, *plain[1:]], **options)

    def _applied(self, messages: list[dict[str, object]], **options: bool) -> str:
        import jinja2

        try:
            rendered = self.tokenizer.apply_chat_template(messages, tokenize=False, **options, **self.keywords)
        except (jinja2.TemplateError, TypeError, KeyError, AttributeError) as error:
            raise TemplateFailed(
                f"the model's chat template can't render a prompt: {type(error).__name__}: {error}; check "
                "generation.template, or put another template into chat_template.jinja beside the tokenizer"
            ) from error
        return str(rendered)


def is_thought(mark: str) -> bool:
    """Check whether what a template writes before a reply is a thought without content."""
    bare = "".join(mark.split()).casefold()
    return bare in {"<think></think>", "[think][/think]", "<thinking></thinking>", "<seed:think></seed:think>"}


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
