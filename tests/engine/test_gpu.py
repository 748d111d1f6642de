"""Tests that need an NVIDIA GPU: NVML, and LoRA adapters and seeded requests in vLLM. Run by `make gpu-check`."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

import pytest

from engine.generation.base import GenerationRequest
from engine.models.weights import PolicyWeights
from store.settings import GenerationSection

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _needs_cuda() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")


def test_nvml_reads_every_card() -> None:
    pytest.importorskip("pynvml")
    from engine.supervisor.hardware import gpus

    found = gpus()
    assert found, "torch sees a GPU, NVML does not"
    for one in found:
        assert one["name"]
        assert isinstance(one["memory_used"], int) and isinstance(one["memory_total"], int)
        assert 0 < one["memory_used"] <= one["memory_total"]
        assert 0 <= int(str(one.get("utilization", 0))) <= 100


def _adapter(base: Path, directory: Path) -> Path:
    """A LoRA adapter on `base` whose B matrices are not zero, so that it changes what is generated."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    for name, part in model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(part, std=0.1)
    model.save_pretrained(directory)
    return directory


async def _texts(weights: PolicyWeights) -> tuple[str, str, str]:
    """Generate a greedy text, and the same sampled request twice."""
    from engine.generation.vllm import VllmGenerator

    settings = GenerationSection(concurrency=4, max_model_len=512, gpu_memory_share=0.3)
    generator = VllmGenerator(weights, settings, seed=1)
    message = ({"role": "user", "content": "Write one sentence about the sea."},)
    await generator.start()
    try:
        greedy = await generator.generate(GenerationRequest(message, 32, 0.0, 1.0, seed=5))
        # Sequentially: texts of one batch may differ in the last bits.
        sampled = [await generator.generate(GenerationRequest(message, 32, 0.8, 1.0, seed=5)) for _ in range(2)]
    finally:
        await generator.close()
    assert [one.seed for one in sampled] == [5, 5], "on a GPU each request is seeded"
    return greedy.text, sampled[0].text, sampled[1].text


@pytest.mark.slow
def test_vllm_serves_an_adapter_by_lora_request_and_seeds_requests(model_cache: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    from engine.models.resolve import resolve_model

    base = resolve_model("smollm2-135m-instruct", model_cache).path
    plain = asyncio.run(_texts(PolicyWeights(1, "p00", base, base)))
    adapted = asyncio.run(_texts(PolicyWeights(2, "p01", base, base, _adapter(base, tmp_path / "adapter"))))
    assert plain[0] != adapted[0], "the adapter changes nothing: it was not applied"
    assert plain[1] == plain[2] and adapted[1] == adapted[2], "a seeded request gives the same text"
