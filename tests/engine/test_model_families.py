"""Tests of tiny random models of the families that people use: generate, train, merge, reload and generate again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("trl")

from engine.generation.base import Generated, GenerationRequest
from engine.generation.transformers import TransformersGenerator
from engine.models.loading import load_tokenizer
from engine.models.weights import PolicyWeights
from engine.prompts.chat_format import ChatFormat
from engine.training.examples import token_view
from engine.training.request import TrainingRequest
from store.settings import GenerationSection, TrainingSection
from tests.engine.tiny_model import tiny_tokenizer
from tests.engine.training_process import EXAMPLES, PAIRS
from tests.engine.training_runs import run
from tests.support.stock_templates import stock_templates

SMALL: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}


class Family(NamedTuple):
    """A family of models: its configuration class, its stock template, and what `auto` adapts."""

    config: str
    template: str
    adapted: frozenset[str]
    more: Mapping[str, Any] = {}
    keywords: Mapping[str, Any] = {}


APART = frozenset({"q_proj", "k_proj", "v_proj"})
FAMILIES = {
    "Llama 3": Family("LlamaConfig", "llama3", APART),
    "Mistral": Family("MistralConfig", "chatml", APART),
    "Gemma": Family("GemmaConfig", "gemma", APART, {"head_dim": 8}),
    "Phi-3": Family("Phi3Config", "phi3", frozenset({"qkv_proj"})),
    "Qwen2.5": Family("Qwen2Config", "qwen2_5", APART),
    "Qwen3": Family("Qwen3Config", "qwen3", APART, {"head_dim": 8}, {"enable_thinking": False}),
    "GLM-4": Family("Glm4Config", "glm4moe", APART, {"head_dim": 8}, {"enable_thinking": False}),
    "SmolLM2": Family("LlamaConfig", "chatml", APART, {"tie_word_embeddings": True}),
    "GPT-2": Family(
        "GPT2Config", "chatml", frozenset({"c_attn"}), {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 1024}
    ),
}
TRAINED = [(name, "sft-one-stage") for name in FAMILIES] + [
    (name, "dpo-verdict") for name in ("Phi-3", "Qwen3", "GPT-2")
]


def build(directory: Path, family: Family) -> Path:
    """Write a tiny random model of a family with its template."""
    import torch
    import transformers

    tokenizer = tiny_tokenizer()
    if family.template != "chatml":
        tokenizer.chat_template = stock_templates()[family.template]
    values = {**SMALL, **family.more, "vocab_size": len(tokenizer)}
    if family.config == "GPT2Config":
        values = {name: value for name, value in values.items() if name not in SMALL or name.endswith("_id")}
    torch.manual_seed(0)
    config = getattr(transformers, family.config)(**values)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def reply_of(directory: Path, family: Family) -> Generated:
    """Generate one reply with the weights in a directory."""
    generation = GenerationSection(template=dict(family.keywords), max_model_len=512)
    weights = PolicyWeights(1, "p01", directory, directory)

    async def ask() -> Generated:
        generator = TransformersGenerator(weights, generation, 1)
        await generator.start()
        try:
            return await generator.generate(GenerationRequest(EXAMPLES[0].prompt, 8, 0.0, 1.0, 1))
        finally:
            await generator.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(("name", "setting"), TRAINED)
def test_a_family_is_trained_on_what_it_is_asked(name: str, setting: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    base = build(tmp_path / "base", family)
    before = reply_of(base, family)
    form = ChatFormat(load_tokenizer(base), family.keywords)
    asked = form.prompt_tokens(EXAMPLES[0].prompt)
    assert before.prompt_tokens == len(asked)
    assert list(token_view(EXAMPLES[0], form).ids[: len(asked)]) == asked
    settings = TrainingSection(min_examples=1, batch_size=4, epochs=1, checkpoint_steps=50, learning_rate=5e-2)
    rows: tuple[Any, ...] = PAIRS if setting.startswith("dpo") else EXAMPLES[:8]
    request = TrainingRequest(
        setting, base, None, rows, settings, 1, tmp_path / "work", tmp_path / "policy", keywords=family.keywords
    )
    result, metrics = run(request)
    assert result.completed and all(values["loss"] > 0 for values in metrics.values() if "loss" in values)
    adapter = json.loads((tmp_path / "policy" / "adapter" / "adapter_config.json").read_text())
    assert set(adapter["target_modules"]) == family.adapted
    merged = tmp_path / "policy" / "merged"
    assert load_tokenizer(merged).chat_template == load_tokenizer(base).chat_template
    assert reply_of(merged, family).prompt_tokens == before.prompt_tokens


def test_a_name_that_is_not_in_the_model_is_refused_before_training(tmp_path: Path) -> None:
    """Also beside names that are: PEFT would adapt those and ignore the other."""
    from engine.errors import TrainingRefused

    base = build(tmp_path / "base", FAMILIES["Phi-3"])
    for targets in (["q_proj"], ["qkv_proj", "v_proj"]):
        settings = TrainingSection(min_examples=1, batch_size=4, lora_targets=targets)
        request = TrainingRequest(
            "sft-one-stage", base, None, EXAMPLES[:4], settings, 1, tmp_path / "work", tmp_path / "policy"
        )
        with pytest.raises(TrainingRefused, match=r"no such module.*qkv_proj"):
            run(request)


@pytest.mark.parametrize("template", ["deepseek_r1_distill", "gptoss", "qwen3"])
def test_a_template_that_asks_for_thoughts_is_not_trained_with(template: str, tmp_path: Path) -> None:
    from engine.errors import TrainingRefused

    base = build(tmp_path / "base", FAMILIES["Qwen2.5"]._replace(template=template))
    settings = TrainingSection(min_examples=1, batch_size=4)
    request = TrainingRequest(
        "sft-one-stage", base, None, EXAMPLES[:4], settings, 1, tmp_path / "work", tmp_path / "policy"
    )
    with pytest.raises(TrainingRefused, match="asks for a thought"):
        run(request)


def _without_padding(tokenizer: Any) -> None:
    tokenizer.pad_token = None


def _with_another_end(tokenizer: Any) -> None:
    tokenizer.eos_token = "<|endoftext|>"


@pytest.mark.parametrize("change", [_without_padding, _with_another_end])
def test_a_tokenizer_with_wrong_special_tokens_generates_and_trains(
    change: Callable[[Any], None], tmp_path: Path
) -> None:
    """Without a token for padding the end token pads; with an end that the model never writes, texts are cut at their
    maximum length and say so, and the end is learnt in training."""
    family = FAMILIES["Qwen2.5"]
    base = build(tmp_path / "base", family)
    tokenizer = load_tokenizer(base)
    change(tokenizer)
    tokenizer.save_pretrained(base)
    assert reply_of(base, family).finish_reason in ("stop", "length")
    settings = TrainingSection(min_examples=1, batch_size=4, epochs=1, checkpoint_steps=50)
    request = TrainingRequest(
        "sft-one-stage", base, None, EXAMPLES[:4], settings, 1, tmp_path / "work", tmp_path / "policy"
    )
    assert run(request)[0].completed
    view = token_view(EXAMPLES[0], ChatFormat(load_tokenizer(base)))
    assert load_tokenizer(base).decode(view.ids[-1:]) == load_tokenizer(base).eos_token
