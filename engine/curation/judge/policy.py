"""The judge `self`: the policy ranks its own reflections, with greedy decoding. Depends on generators only."""

from __future__ import annotations

from engine.curation.judge.ranking import CannotJudge
from engine.errors import GenerationFailed
from engine.generation.base import GenerationRequest, Generator
from engine.prompts.rollout import Message


class SelfJudge:
    """A judge that queries the policy served by a generator.

    Args:
        generator: a generator that has been started.
        max_tokens: maximum number of new tokens per reply.
    """

    def __init__(self, generator: Generator, max_tokens: int) -> None:
        self._generator = generator
        self._max_tokens = max_tokens

    async def ask(self, messages: tuple[Message, ...]) -> str:
        """Return the policy's reply. Raises CannotJudge if it can't reply, e.g. because the pair is too long."""
        try:
            generated = await self._generator.generate(GenerationRequest(messages, self._max_tokens, 0.0, 1.0, 0))
        except GenerationFailed as error:
            raise CannotJudge(str(error)) from error
        return generated.text
