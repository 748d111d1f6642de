"""Tests of real vLLM on CPU with the packaged SmolLM2-135M: slow, and run in CI."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import GenerationFailed
from engine.generation.base import Generated, GenerationRequest
from engine.models.weights import PolicyWeights
from store.settings import GenerationSection
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings
from tests.support.waiting import Patience

pytestmark = pytest.mark.slow

QUESTION = "How many days does a week have? Finish with 'Answer:' and the number."


def _request(text: str, temperature: float = 0.0, max_tokens: int = 24) -> GenerationRequest:
    return GenerationRequest(({"role": "user", "content": text},), max_tokens, temperature, 1.0, seed=5)


async def _exercise(weights: PolicyWeights) -> None:
    from engine.generation.vllm import VllmGenerator

    generator = VllmGenerator(weights, GenerationSection(concurrency=16, max_model_len=512, memory_gib=1), seed=1)
    await generator.start()
    try:
        grown: list[str] = []
        together = await asyncio.gather(
            generator.generate(_request(QUESTION), grown.append),
            *(generator.generate(_request(f"{QUESTION} ({n})")) for n in range(7)),
            # A request with a seed and a temperature would end vLLM's engine on CPU.
            *(generator.generate(_request(QUESTION, temperature=0.9)) for _ in range(4)),
        )
        first = together[0]
        assert all(one.completion_tokens > 0 and one.text for one in together)
        assert all(one.finish_reason in ("stop", "length") for one in together)
        assert all(one.seed is None for one in together), "only the engine is seeded on CPU"
        assert grown and grown[-1] == first.text, "a watched text grows to the final one"
        again = await generator.generate(_request(QUESTION))
        assert again.text == first.text, "greedy repeats"
        assert again.cached_tokens > 0, "its prompt was cached"

        with pytest.raises(GenerationFailed, match="max_model_len"):
            await generator.generate(_request("word " * 2000))

        await _pauses(generator.generate, generator.pause, generator.resume)
    finally:
        await generator.close()


async def _pauses(generate: Callable[..., object], pause: Callable[..., object], resume: Callable[..., object]) -> None:
    """A paused generator keeps requests in flight, and finishes them after it resumes."""
    grown: list[str] = []
    running = asyncio.ensure_future(generate(_request("Tell a long story.", 0.9, max_tokens=100), grown.append))  # type: ignore[arg-type]
    await asyncio.sleep(0.3)
    await pause()  # type: ignore[misc]
    await asyncio.sleep(3)
    assert not running.done(), "it went on while paused"
    await resume()  # type: ignore[misc]
    patience = Patience(lambda: len(grown))
    while not running.done():
        assert not patience.exhausted(), "it was not resumed"
        await asyncio.sleep(0.1)
    finished = await running
    assert isinstance(finished, Generated) and finished.completion_tokens > 0


def test_vllm_serves_a_policy_on_cpu(model_cache: Path) -> None:
    """Concurrent, greedy and sampled, streamed, too long, paused: the generator's complete contract on real vLLM."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM has no build for this machine")
    from engine.models.resolve import resolve_model

    model = resolve_model("smollm2-135m-instruct", model_cache).path
    asyncio.run(_exercise(PolicyWeights(1, "p00", model, model)))


def test_no_process_of_vllm_outlives_its_engine(
    harness: Callable[[str], EngineHarness], model_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 3 with real vLLM: its engine process, in whatever process session, is gone when the next one is READY."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM has no build for this machine")
    from engine.supervisor.child_processes import end_orphans, tagged_processes

    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "models").symlink_to(model_cache)
    monkeypatch.setenv("REFLECTEVO_CACHE", str(cache))
    # Threads are bound as in the product; the other tests compute in one.
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    settings = quiz_settings(tmp_path, train=40, test=2).replace('"scripted"\nconcurrency', '"vllm"\nconcurrency')
    one = harness(settings.replace('model = "none"', 'model = "smollm2-135m-instruct"'))
    one.start()
    one.run()
    one.wait(lambda: one.stage("attempt").get("done", 0) > 0)
    before = set(tagged_processes(one.workspace))
    assert len(before) > 1, "vLLM runs in processes of its own, and they carry the tag"
    one.kill()
    one.start()
    assert not before & set(tagged_processes(one.workspace))
    # This engine gets no more requests: it need not load the model to shut down in order.
    one.kill()
    end_orphans(one.workspace)
