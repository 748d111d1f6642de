"""Scripted generator: deterministic answers without a model, for tests and for trying out the terminal.

The reply is a function of the messages, the seed and the policy, so that an interrupted run and an uninterrupted one
produce the same texts. Prompts are treated as plain text.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections.abc import Callable
from random import Random

from engine.generation.base import Generated, GenerationRequest, apart_from_thought
from engine.models.weights import PolicyWeights
from engine.prompts.control_prompts import JUDGE
from engine.prompts.judge import REPLY_FORM
from engine.prompts.rollout import SECOND_TRY, one_stage_completion, prompt_hash
from store.settings import GenerationSection

# Curation accepts each text once, so with few causes its sets would be full after a handful of reflections.
_CAUSES = (
    "The last step was taken too early.",
    "A condition of the question was skipped.",
    "The total was off because one item was left out.",
    "The method was right but its result was copied wrongly.",
    "Two numbers were mixed up on the way.",
    "The first sentence was read as if it stood alone.",
    "A case at the very end was never looked at.",
    "The order of the operations was turned around.",
)
_REMEDIES = (
    "Count every part again before writing the answer.",
    "Read it once more and apply it to each part in turn.",
    "List the items first and then combine them.",
    "Repeat the final step slowly on a line of its own.",
    "Name each of them and what it stands for before using it.",
    "Write down what is asked for and keep it in view.",
    "Go through the middle part from its end to its beginning.",
    "Work out a smaller example first and follow its pattern.",
)
_CHECKS = (
    "Then compare the outcome with the question.",
    "Then look whether every part was used.",
    "Then do it a second time and see whether both agree.",
    "Then ask whether the size of the outcome makes sense.",
    "Then put the outcome back where it came from.",
    "Then say in one sentence why it must be so.",
)


_STATED = re.compile(r"The answer is (\S+?)\.(?!\S)")


class ScriptedGenerator:
    """Replies from a fixed script, immediately or after `REFLECTEVO_SCRIPTED_DELAY` seconds per text.

    `REFLECTEVO_SCRIPTED_READING` plays a policy whose greedy answers don't depend on the seed: with `ignores` they
    depend on nothing in the last message, so that every reflection leads to the same correction; with `follows` an
    answer that the last message states is given. `REFLECTEVO_SCRIPTED_THINKS` plays a model that thinks before every
    reply; with `endlessly` one thought in five does not end.
    """

    name = "scripted"

    def __init__(self, weights: PolicyWeights, settings: GenerationSection, seed: int) -> None:
        self._policy = weights.policy_id
        self._seed = seed
        self._delay = float(os.environ.get("REFLECTEVO_SCRIPTED_DELAY", "0"))
        self._reading = os.environ.get("REFLECTEVO_SCRIPTED_READING", "")
        self._thinks = os.environ.get("REFLECTEVO_SCRIPTED_THINKS", "")
        self._running = asyncio.Event()
        self._running.set()

    async def start(self) -> None:
        """Do nothing: there is no model to load."""

    async def generate(self, request: GenerationRequest, on_text: Callable[[str], None] | None = None) -> Generated:
        """Return the scripted reply to these messages."""
        started = time.monotonic()
        text = self._reply(request)
        if self._thinks and request.messages[-1]["role"] != "assistant":
            text = f"<think>\nSECRET THOUGHT about {len(text)} letters, Answer: 77\n</think>\n\n{text}"
        if self._delay:
            for share in (0.5, 1.0):
                await asyncio.sleep(self._delay / 2)
                if on_text is not None:
                    on_text(text[: int(len(text) * share)])
        await self._running.wait()
        words = sum(len(message["content"].split()) for message in request.messages)
        cut = self._thinks == "endlessly" and request.seed % 5 == 0
        if cut:
            text = text.partition("</think>")[0]
        generated = Generated(
            text=text,
            prompt_tokens=words,
            cached_tokens=0,
            completion_tokens=len(text.split()),
            finish_reason="length" if cut else "stop",
            seconds=time.monotonic() - started,
            seed=request.seed,
        )
        return apart_from_thought(generated, opened=False)

    def _reply(self, request: GenerationRequest) -> str:
        read, seed = request.messages, request.seed
        if self._reading and not request.temperature:
            seed = 0
            if self._reading == "ignores" and len(read) > 1:
                read = read[:-1]
        identity = f"{self._seed}|{self._policy}|{seed}|{prompt_hash(read)}"
        random = Random(int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big"))
        last = request.messages[-1]
        if REPLY_FORM in last["content"]:
            return f"Better: {random.choice('AB')}"
        if last["content"] == JUDGE:
            return random.choice(("Yes.", "no"))
        stated = _STATED.search(last["content"]) if self._reading == "follows" else None
        if stated is not None:
            return f"That is what the text above states.\nAnswer: {stated.group(1)}"
        # The reply to a message of its own continues it: it began with a reflection, and the answer is missing.
        continues = last["role"] == "assistant"
        asks_for_both = not continues and f"'{SECOND_TRY}'" in last["content"]
        reflection, answer = "", ""
        if asks_for_both or not (continues or "Answer:" in last["content"]):
            reflection = f"{random.choice(_CAUSES)} {random.choice(_REMEDIES)} {random.choice(_CHECKS)}"
        if asks_for_both or not reflection:
            answer = f"Working through the parts one by one.\nAnswer: {random.randint(0, 4)}"
        return one_stage_completion(reflection, answer) if asks_for_both else reflection or answer

    async def pause(self) -> None:
        """Hold all replies."""
        self._running.clear()

    async def resume(self) -> None:
        """Release the held replies."""
        self._running.set()

    async def close(self) -> None:
        """Do nothing: no device is in use."""
