"""The protocol of generators: messages in, a finished text out, many concurrently.

The rollout depends on this module only. A generator handles weights and chat templates, and is independent of
questions, verdicts, stages and the database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from engine.models.weights import PolicyWeights
from engine.prompts.rollout import Message
from engine.tasks.answers.thoughts import split_thought
from store.settings import Decoding, GenerationSection


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One text to generate. `seed` is used where the backend supports it; the result has the seed that was used.

    If the last message is the assistant's, the text continues it: the chat template doesn't close that turn.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()

    @classmethod
    def decoded(cls, messages: Sequence[Message], decoding: Decoding, seed: int) -> GenerationRequest:
        """Return the request of one text with the decoding parameters of the settings."""
        return cls(
            messages=tuple(messages),
            max_tokens=decoding.max_tokens,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            seed=seed,
            top_k=decoding.top_k,
            min_p=decoding.min_p,
            repetition_penalty=decoding.repetition_penalty,
            stop=tuple(decoding.stop),
        )

    @property
    def sampling(self) -> tuple[object, ...]:
        """All that requests of one batch must have in common."""
        return (
            self.max_tokens,
            self.temperature,
            self.top_p,
            self.top_k,
            self.min_p,
            self.repetition_penalty,
            self.stop,
        )


@dataclass(frozen=True, slots=True)
class Generated:
    """A finished text. `seconds` is from submission to the end; `seed` is None where only the engine was seeded."""

    text: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    finish_reason: str
    seconds: float
    seed: int | None
    thought: str = ""
    """What the model thought before `text`, as written, with its tags; see `store.rollouts.thoughts`."""
    thought_tokens: int = 0
    """Its part of `completion_tokens`, estimated by its length."""


def apart_from_thought(generated: Generated, *, opened: bool) -> Generated:
    """Return a finished text with the thought that it begins with apart; `opened` if its prompt ends inside one."""
    thought, reply = split_thought(generated.text, opened=opened)
    if not thought:
        return generated
    share = len(thought) / max(len(generated.text), 1)
    return replace(generated, text=reply, thought=thought, thought_tokens=round(share * generated.completion_tokens))


class Generator(Protocol):
    """Serves one policy. `generate` may be awaited many times concurrently; the generator batches requests."""

    name: str

    async def start(self) -> None:
        """Load the policy. Raises EngineError, with the remedy in its message."""

    async def generate(self, request: GenerationRequest, on_text: Callable[[str], None] | None = None) -> Generated:
        """Generate one text. `on_text` is called with the partial text from time to time.

        Raises:
            GenerationFailed: When this request cannot be served (e.g. its prompt is too long).
        """

    async def pause(self) -> None:
        """Stop computing within one step; requests in flight are kept."""

    async def resume(self) -> None:
        """Continue after a pause."""

    async def close(self) -> None:
        """Release the device."""


Make = Callable[[PolicyWeights, GenerationSection, int], Generator]
"""Factory of a generator: weights, settings, seed → generator."""
