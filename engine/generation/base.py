"""What every generator is: messages in, a finished text out, many at once.

The rollout knows only this. A generator knows weights and chat templates, nothing of questions,
verdicts, stages or the database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from engine.prompts.rollout import Message


@dataclass(frozen=True, slots=True)
class PolicyWeights:
    """Where the weights of a policy lie, for one of its roles.

    `merged` is a whole model (the base itself for the base policy). `adapter` is the LoRA on `base`, None for the
    base policy and for a fully fine-tuned one. `role` is `reflector` only where the policy has two sets of weights:
    weights that are equal serve both roles.
    """

    policy_id: int
    name: str
    base: Path
    merged: Path
    adapter: Path | None = None
    role: Literal["reasoner", "reflector"] = "reasoner"

    @property
    def adapter_id(self) -> int:
        """A number above 0 that no other adapter of the workspace has; servers and prefix caches go by it."""
        return 2 * self.policy_id + (self.role == "reflector")


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
