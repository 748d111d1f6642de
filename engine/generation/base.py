"""What every generator is: messages in, a finished text out, many at once.

The rollout knows only this. A generator knows weights and chat templates, nothing of questions,
verdicts, stages or the database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.models.weights import PolicyWeights
from engine.prompts.rollout import Message
from store.settings import GenerationSection


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One text to generate. `seed` is honoured where the backend can; the result says what was used."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int


@dataclass(frozen=True, slots=True)
class Generated:
    """A finished text. `seconds` from submission to the end; `seed` None where only the engine was seeded."""

    text: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    finish_reason: str
    seconds: float
    seed: int | None


class Generator(Protocol):
    """Serves one policy. `generate` may be awaited many times at once; the generator batches."""

    name: str

    async def start(self) -> None:
        """Load the policy; raises EngineError with what to do when it can't."""

    async def generate(self, request: GenerationRequest, on_text: Callable[[str], None] | None = None) -> Generated:
        """Generate one text. `on_text` gets the text so far, now and then, while it grows.

        Raises:
            GenerationFailed: when this one request can't be done (e.g. its prompt is too long).
        """

    async def pause(self) -> None:
        """Stop computing within a step; what is in flight is kept."""

    async def resume(self) -> None:
        """Go on after a pause."""

    async def close(self) -> None:
        """Give the device back."""


Make = Callable[[PolicyWeights, GenerationSection, int], Generator]
"""Makes a generator from weights, settings and a seed."""
