"""Prompt tokens that the generator computes when every failed attempt is reflected on under 2 × 8 instructions, against
computing each prompt completely.

The rollouts run as in production on real vLLM; the number of tokens taken from the prefix cache is vLLM's own count for
each request. Corrections count too: each carries its own reflection after the prefix it shares with its siblings.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from engine.generation.vllm import VllmGenerator
from engine.models.resolve import model_cache, resolve_model
from engine.models.weights import PolicyWeights
from store.settings import RunSettings
from store.settings.toml_file import parse_settings
from tests.bench.measure import Row
from tests.support.real_rollout import Exchange, run_plan

SETTINGS = """
name = "bench"
model = "smollm2-135m-instruct"
seed = 11

[[tasks]]
kind = "procedural"
name = "letter_counting"
dataset = "letter_counting"
options = { min_words = 3, max_words = 5 }
train = 8
test = 0
few_shot = 2

[generation]
generator = "vllm"
concurrency = 64
max_model_len = 1024
memory_gib = 2

[attempt]
max_tokens = 48

[reflection]
instructions = [
    "1-1-1", "1-2-2", "1-3-1", "1-4-2", "1-5-1", "1-6-2", "1-7-1", "1-8-2",
    "2-1-2", "2-2-1", "2-3-2", "2-4-1", "2-5-2", "2-6-1", "2-7-2", "2-8-1",
]
samples = 1
max_tokens = 80

[correction]
max_tokens = 24
temperature = 0.7
"""
"""Both ways to verify times the eight kinds of mistake, on each failed attempt, with the attempt in the prompt."""


def measure() -> list[Row]:
    """Return the share of prompt tokens that were computed."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    settings = parse_settings(SETTINGS)
    exchanges = asyncio.run(_plan(settings))
    whole = sum(one.generated.prompt_tokens for one in exchanges)
    computed = whole - sum(one.generated.cached_tokens for one in exchanges)
    what = "prompt tokens computed, 2 × 8 instructions a failed attempt"
    return [Row(what, f"{computed:,} tokens", f"{whole:,} tokens", computed / whole, 0.35, False)]


async def _plan(settings: RunSettings) -> list[Exchange]:
    model = resolve_model(settings.model, model_cache()).path
    generator = VllmGenerator(PolicyWeights(1, "p00", model, model), settings.generation, settings.seed)
    await generator.start()
    try:
        with tempfile.TemporaryDirectory() as directory:
            return await run_plan(settings, Path(directory), generator)
    finally:
        await generator.close()
