"""Protects that speed changes no text: what flow pace generates greedily, with a shared prefix cache, small blocks and
many requests at once, is what plain vLLM says to the same prompts one at a time. Slow: loads SmolLM2-135M twice.

In float32 sums in another order differ by about 1e-7 and can only tip a choice between two tokens that the model finds
equally good. In bfloat16 they differ by 0.4 %, and such choices are frequent, whoever makes them: there the texts are
held against the model in float32. Each token is to be its best one, or close to it, as it is for plain vLLM.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.generation.base import PolicyWeights
from engine.training.precision import cpu_computes_bfloat16
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
dtype = "DTYPE"

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

NEARLY = 0.25
"""Nats between the best token and the one that bfloat16 may take for it. A mistake in a mask costs several."""


async def _in_flow(model: Path, directory: Path, dtype: str) -> list[Exchange]:
    from engine.generation.vllm import VllmGenerator

    settings = parse_settings(SETTINGS.replace("DTYPE", dtype))
    generator = VllmGenerator(PolicyWeights(1, "p00", model, model), settings.generation, settings.seed)
    await generator.start()
    try:
        return await run_sweep(settings, directory, generator)
    finally:
        await generator.close()


def _one_at_a_time(model: Path, exchanges: list[Exchange], dtype: str) -> list[tuple[str, int]]:
    """Text and number of tokens of each request: no prefix cache, vLLM's own block size, nothing else in the batch."""
    from vllm import LLM, SamplingParams

    plain = LLM(
        model=str(model),
        dtype=dtype,
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


def _regret_by(model: Path) -> Callable[[Exchange, str], float]:
    """A function that tells how far, at most, a token of a reply is from the best one: the difference of their log
    probabilities in nats, by the model in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    exact = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()

    def regret(exchange: Exchange, text: str) -> float:
        prompt: Sequence[int] = tokenizer.apply_chat_template(
            list(exchange.request.messages), add_generation_prompt=True, return_dict=True
        )["input_ids"]
        reply: Sequence[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        if not reply:
            return 0.0
        with torch.no_grad():
            logits: Any = exact(torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
        scores = logits.log_softmax(-1)
        chosen = scores.gather(1, torch.tensor(reply)[:, None])[:, 0]
        return float((scores.max(-1).values - chosen).max())

    return regret


@pytest.fixture
def model(model_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SmolLM2-135M, for a sweep in a directory of its own."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM has no build for this machine")
    from engine.models import resolve_model

    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "models").symlink_to(model_cache)
    monkeypatch.setenv("REFLECTEVO_CACHE", str(cache))
    return resolve_model("smollm2-135m-instruct", model_cache).path


def _both_ways(model: Path, directory: Path, dtype: str) -> tuple[list[Exchange], list[tuple[str, int]], list[int]]:
    """Attempts, reflections and corrections of a sweep, all greedy; each prompt sent alone; the places that differ."""
    exchanges = asyncio.run(_in_flow(model, directory, dtype))
    assert any(one.generated.cached_tokens for one in exchanges), "no prefix was shared: nothing was put to the test"
    kinds = {len(one.request.messages) for one in exchanges}
    assert len(kinds) > 1, "no attempt was reflected on: nothing but attempts was put to the test"
    plain = _one_at_a_time(model, exchanges, dtype)
    different = [
        place
        for place, (exchange, reply) in enumerate(zip(exchanges, plain, strict=True))
        if (exchange.generated.text, exchange.generated.completion_tokens) != reply
    ]
    print(f"{dtype}: {len(exchanges)} texts, {len(different)} differ")
    return exchanges, plain, different


def test_greedy_texts_are_those_of_the_plain_path(model: Path, tmp_path: Path) -> None:
    exchanges, plain, different = _both_ways(model, tmp_path, "float32")
    examples = [(exchanges[place].generated.text, plain[place][0]) for place in different[:1]]
    equal = 1 - len(different) / len(exchanges)
    assert equal >= EQUAL_SHARE, f"{len(different)} of {len(exchanges)} texts differ, e.g. {examples}"


@pytest.mark.skipif(not cpu_computes_bfloat16(), reason="this processor does not compute in bfloat16")
def test_in_bfloat16_texts_part_only_where_two_tokens_are_nearly_as_good(model: Path, tmp_path: Path) -> None:
    exchanges, plain, different = _both_ways(model, tmp_path, "bfloat16")
    regret = _regret_by(model)
    ours = max(regret(one, one.generated.text) for one in exchanges)
    theirs = max(regret(one, text) for one, (text, _) in zip(exchanges, plain, strict=True))
    print(f"furthest from the best token: ours {ours:.3f} nats, plain {theirs:.3f}")
    for place in different:
        exchange, text = exchanges[place], plain[place][0]
        gaps = regret(exchange, exchange.generated.text), regret(exchange, text)
        print(f"parted: ours {gaps[0]:.3f}, plain {gaps[1]:.3f}")
    assert ours <= NEARLY, f"a token was chosen that is {ours:.3f} nats from the best one"
