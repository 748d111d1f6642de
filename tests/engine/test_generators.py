"""Tests of the choice of generator: vLLM where it works, otherwise transformers, and always with a stated reason."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import engine.generation as generation
from engine.errors import EngineError, GenerationFailed
from engine.generation import choose, installed
from engine.generation.vllm import cpu_cores, cpu_dtype
from engine.prompts.chat_format import ChatFormat
from engine.prompts.rollout import Message, one_stage_beginning
from tests.engine.tiny_model import build_tiny_model
from tests.support.waiting import STALL_SECONDS


def _installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(generation, "installed", lambda name: name in (*names, "scripted"))


def test_without_vllm_transformers_serves_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where vLLM has no build a run is slower, and the operator sees the reason."""
    _installed(monkeypatch, "transformers")
    chosen = choose("auto")
    assert chosen.name == "transformers"
    assert "vLLM is not installed" in chosen.note


def test_a_vllm_that_can_not_be_imported_is_replaced_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken build (e.g. for another torch) must not end a run that could continue."""
    _installed(monkeypatch, "vllm", "transformers")

    def broken(name: str) -> None:
        raise ImportError("operator torchvision::nms does not exist")

    monkeypatch.setattr(generation.importlib, "import_module", broken)
    chosen = choose("auto")
    assert chosen.name == "transformers"
    assert "torchvision::nms" in chosen.note


def test_a_generator_asked_for_by_name_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """An explicit request for vLLM gets vLLM or an error."""
    _installed(monkeypatch, "transformers")
    with pytest.raises(EngineError, match="'vllm', which is not installed"):
        choose("vllm")
    assert choose("transformers").note == ""


def test_without_any_generator_the_refusal_names_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error in the light installation names what to install."""
    _installed(monkeypatch)
    with pytest.raises(EngineError, match="gpu"):
        choose("auto")


def test_the_scripted_generator_needs_nothing() -> None:
    """It is available in the lightest installation."""
    assert installed("scripted")


def test_the_processor_decides_cores_and_number_format() -> None:
    """At least one core is bound, each once; and only formats that the processor multiplies natively are chosen."""
    cores = cpu_cores()
    assert cores and len(set(cores)) == len(cores)
    assert cpu_dtype() in ("float32", "bfloat16")


class _ThreeTokens:
    """A tokenizer that makes three tokens of everything."""

    def apply_chat_template(self, *_: object, **__: object) -> str:
        return "?"

    def __call__(self, *_: object, **__: object) -> dict[str, list[int]]:
        return {"input_ids": [1, 2, 3]}


@pytest.mark.parametrize("kind", ["device", "processor"])
def test_a_batch_that_does_not_fit_into_memory_is_halved_until_it_does(kind: str) -> None:
    """Every request gets its text, in batches that fit; one that fits in none fails with a reason instead of
    hanging.
    """
    torch = pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    from engine.generation.base import Generated, GenerationRequest
    from engine.generation.transformers import TransformersGenerator, _Waiting
    from engine.models.weights import PolicyWeights
    from store.settings import GenerationSection

    sizes: list[int] = []

    class Tight(TransformersGenerator):
        room = 3

        def _load(self) -> None:
            self._tokenizer = _ThreeTokens()

        def _generate(self, batch: list[_Waiting]) -> list[Generated]:
            sizes.append(len(batch))
            if len(batch) > self.room:
                if kind == "device":
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
                raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
            return [Generated("text", 3, 0, 1, "stop", 0.0, None) for _ in batch]

    async def ask(room: int) -> list[object]:
        generator = Tight(PolicyWeights(1, "p00", Path("x"), Path("x")), GenerationSection(concurrency=16), 1)
        generator.room = room
        await generator.start()
        request = GenerationRequest(({"role": "user", "content": "?"},), 8, 0.0, 1.0, 1)
        try:
            waiting = (asyncio.wait_for(generator.generate(request), STALL_SECONDS) for _ in range(16))
            return list(await asyncio.gather(*waiting, return_exceptions=True))
        finally:
            await generator.close()

    texts = asyncio.run(ask(3))
    assert [getattr(one, "text", one) for one in texts] == ["text"] * 16
    assert sizes[:4] == [16, 8, 4, 2] and set(sizes[3:]) == {2}
    hopeless = asyncio.run(ask(0))
    assert all(isinstance(one, RuntimeError) and "memory" in str(one) for one in hopeless)


def test_a_reply_that_was_begun_is_continued(tmp_path: Path) -> None:
    """The prompt ends inside the assistant's turn, exactly where a whole reply would have come to."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(build_tiny_model(tmp_path))
    asked: Message = {"role": "user", "content": "What is 2 + 2?"}
    beginning = one_stage_beginning("I was off by one.")
    form = ChatFormat(tokenizer)
    opened = tokenizer.decode(form.prompt_tokens([asked]))
    continued = tokenizer.decode(form.prompt_tokens([asked, {"role": "assistant", "content": beginning}]))
    assert opened.endswith("assistant\n")
    assert continued == opened + beginning
    # A template that rewrites the reply can't be continued: that costs this text, not the run.
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] | upper }}{% endfor %}"
    with pytest.raises(GenerationFailed, match="can't continue a reply"):
        form.prompt_tokens([asked, {"role": "assistant", "content": beginning}])
