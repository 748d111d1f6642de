"""Tests the sizes behind the memory and disk estimates: published totals, the arithmetic of cache and LoRA."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from store.estimates.model_config import PUBLISHED, read_architecture

LLAMA = PUBLISHED["meta-llama/meta-llama-3-8b-instruct"]


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("meta-llama/meta-llama-3-8b-instruct", 8_030_261_248),
        ("mistralai/mistral-7b-instruct-v0.2", 7_241_732_096),
        ("smollm2-135m-instruct", 134_515_008),
    ],
)
def test_parameters_are_those_the_models_are_published_with(model: str, parameters: int) -> None:
    assert PUBLISHED[model].parameters == parameters


def test_a_token_of_llama_3_8b_keeps_128_kib_in_a_16_bit_cache() -> None:
    assert LLAMA.cached_values * 2 == 128 * 1024


def test_the_papers_adapter_of_llama_3_8b() -> None:
    """r 8 on q (4096 → 4096), k and v (4096 → 1024) in 32 layers."""
    assert LLAMA.adapter_parameters(8, ["q_proj", "k_proj", "v_proj"]) == 32 * 8 * (8192 + 5120 + 5120)
    assert LLAMA.adapter_parameters(8, ["lm_head"]) == 0


def test_an_adapter_is_as_large_as_peft_makes_it(tmp_path: Path) -> None:
    """Compared with the real library on a model of odd sizes."""
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=50,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        tie_word_embeddings=False,
    )
    config.save_pretrained(tmp_path)
    read = read_architecture(tmp_path)
    assert read is not None
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    assert read.parameters == model.num_parameters()
    for targets in (["q_proj", "v_proj"], "all-linear"):
        adapted = peft.get_peft_model(
            transformers.LlamaForCausalLM(config), peft.LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM")
        )
        assert read.adapter_parameters(4, targets) == adapted.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize("text", ["", "{}", "[]", json.dumps({"num_attention_heads": "x", "hidden_size": 3})])
def test_what_is_no_such_config_is_unknown(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert read_architecture(tmp_path) is None
    assert read_architecture(tmp_path / "nowhere") is None
