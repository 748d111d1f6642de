"""The judge `self`: the policy ranks its own reflections, greedy. Knows the generator protocol only."""

from __future__ import annotations

from engine.curation.judge.ranking import CannotJudge
from engine.errors import GenerationFailed
from engine.generation.base import GenerationRequest, Generator
from engine.prompts.rollout import Message


class SelfJudge:
    """Asks the policy that a generator serves.

    Args:
        generator: started already.
        max_tokens: most new tokens of one judgement.
    """

    def __init__(self, generator: Generator, max_tokens: int) -> None:
        self._generator = generator
        self._max_tokens = max_tokens

    async def ask(self, messages: tuple[Message, ...]) -> str:
        """The policy's reply; raises CannotJudge when it can't give one, e.g. because the pair is too long for it."""
        try:
            generated = await self._generator.generate(GenerationRequest(messages, self._max_tokens, 0.0, 1.0, 0))
        except GenerationFailed as error:
            raise CannotJudge(str(error)) from error
        return generated.text
