"""Protects that speed changes no text: what flow pace generates greedily, with a shared prefix cache, small blocks and
many requests at once, is what plain vLLM says to the same prompts one at a time. Slow: loads SmolLM2-135M twice.

In float32, where sums in another order differ by about 1e-7 and can only tip a choice between two tokens that the model
finds equally good.
"""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

import pytest

from engine.generation.base import PolicyWeights
from store.settings_file import parse_settings
from tests.support.real_sweep import Exchange, run_sweep

# Without AVX512 it takes 280 s alone, and beside another worker on two cores more than the usual guard against a hang.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SETTINGS = """
name = "same"
model = "smollm2-135m-instruct"
seed = 3

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
concurrency = 32
max_model_len = 1024
memory_gib = 1
dtype = "float32"

[attempt]
max_tokens = 24

[reflection]
instructions = "random:2"
samples = 1
temperature = 0.0
max_tokens = 32

[correction]
max_tokens = 24
"""

EQUAL_SHARE = 0.95
"""Were fewer texts than this equal, it would be no tie but a mistake."""


async def _in_flow(model: Path, directory: Path) -> list[Exchange]:
    from engine.generation.vllm import VllmGenerator

    settings = parse_settings(SETTINGS)
    generator = VllmGenerator(PolicyWeights(1, "p00", model, model), settings.generation, settings.seed)
    await generator.start()
    try:
        return await run_sweep(settings, directory, generator)
    finally:
        await generator.close()


def _one_at_a_time(model: Path, exchanges: list[Exchange]) -> list[tuple[str, int]]:
    """Text and number of tokens of each request: no prefix cache, vLLM's own block size, nothing else in the batch."""
    from vllm import LLM, SamplingParams

    plain = LLM(
        model=str(model),
        dtype="float32",
        max_model_len=1024,
        max_num_seqs=1,
        enforce_eager=True,
        enable_prefix_caching=False,
    )
    replies = []
    for exchange in exchanges:
        parameters = SamplingParams(max_tokens=exchange.request.max_tokens, temperature=0.0)
        [output] = plain.chat([list(exchange.request.messages)], parameters, use_tqdm=False)
        replies.append((output.outputs[0].text, len(output.outputs[0].token_ids)))
    del plain
    return replies


def test_greedy_texts_are_those_of_the_plain_path(
    model_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempts, reflections and corrections of a sweep, all greedy, each against its prompt sent alone."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM has no build for this machine")
    from engine.models import resolve_model

    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "models").symlink_to(model_cache)
    monkeypatch.setenv("REFLECTEVO_CACHE", str(cache))
    model = resolve_model("smollm2-135m-instruct", model_cache).path
    exchanges = asyncio.run(_in_flow(model, tmp_path))
    assert any(one.generated.cached_tokens for one in exchanges), "no prefix was shared: nothing was put to the test"
    kinds = {len(one.request.messages) for one in exchanges}
    assert len(kinds) > 1, "no attempt was reflected on: nothing but attempts was put to the test"
    plain = _one_at_a_time(model, exchanges)
    different = [
        (exchange.generated.text, text)
        for exchange, (text, tokens) in zip(exchanges, plain, strict=True)
        if (exchange.generated.text, exchange.generated.completion_tokens) != (text, tokens)
    ]
    equal = 1 - len(different) / len(exchanges)
    print(f"{len(exchanges)} texts, {len(different)} differ")
    assert equal >= EQUAL_SHARE, f"{len(different)} of {len(exchanges)} texts differ, e.g. {different[0]}"
