"""Which generator serves: vLLM where it works, else transformers, and never silently."""

from __future__ import annotations

import pytest

import engine.generation as generation
from engine.errors import EngineError
from engine.generation import choose, installed
from engine.generation.vllm import cpu_cores, cpu_dtype


def _installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(generation, "installed", lambda name: name in (*names, "scripted"))


def test_without_vllm_transformers_serves_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where vLLM has no build a run is slower, and its operator learns why."""
    _installed(monkeypatch, "transformers")
    chosen = choose("auto")
    assert chosen.name == "transformers"
    assert "vLLM is not installed" in chosen.note


def test_a_vllm_that_can_not_be_imported_is_replaced_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken build (e.g. for another torch) must not end a run that could go on."""
    _installed(monkeypatch, "vllm", "transformers")

    def broken(name: str) -> None:
        raise ImportError("operator torchvision::nms does not exist")

    monkeypatch.setattr(generation.importlib, "import_module", broken)
    chosen = choose("auto")
    assert chosen.name == "transformers"
    assert "torchvision::nms" in chosen.note


def test_a_generator_asked_for_by_name_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for vLLM gets vLLM or a refusal."""
    _installed(monkeypatch, "transformers")
    with pytest.raises(EngineError, match="'vllm', which is not installed"):
        choose("vllm")
    assert choose("transformers").note == ""


def test_without_any_generator_the_refusal_names_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """The light installation says what to add."""
    _installed(monkeypatch)
    with pytest.raises(EngineError, match="gpu"):
        choose("auto")


def test_the_scripted_generator_needs_nothing() -> None:
    """It is there in the lightest installation."""
    assert installed("scripted")


def test_the_processor_decides_cores_and_number_format() -> None:
    """At least one core is bound, each once; and only formats the processor multiplies are chosen."""
    cores = cpu_cores()
    assert cores and len(set(cores)) == len(cores)
    assert cpu_dtype() in ("float32", "bfloat16")
