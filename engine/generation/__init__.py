"""Generators: one protocol, three ways to serve a policy. `choose` picks one by what is installed.

A flat registry: a new generator is a file and a line here. Imports nothing heavy by itself.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import EngineError
from engine.generation.base import Generator
from engine.models.weights import PolicyWeights
from store.settings import GenerationSection


def _vllm(weights: PolicyWeights, settings: GenerationSection, seed: int) -> Generator:
    from engine.generation.vllm import VllmGenerator

    return VllmGenerator(weights, settings, seed)


def _transformers(weights: PolicyWeights, settings: GenerationSection, seed: int) -> Generator:
    from engine.generation.transformers import TransformersGenerator

    return TransformersGenerator(weights, settings, seed)


def _scripted(weights: PolicyWeights, settings: GenerationSection, seed: int) -> Generator:
    from engine.generation.scripted import ScriptedGenerator

    return ScriptedGenerator(weights, settings, seed)


GENERATORS: dict[str, Callable[[PolicyWeights, GenerationSection, int], Generator]] = {
    "vllm": _vllm,
    "transformers": _transformers,
    "scripted": _scripted,
}

_NEEDS = {"vllm": "vllm", "transformers": "transformers"}


def installed(name: str) -> bool:
    """True when the library of a generator is installed; it isn't imported to find out."""
    return name not in _NEEDS or importlib.util.find_spec(_NEEDS[name]) is not None


@dataclass(frozen=True, slots=True)
class Choice:
    """The generator that serves, and why it isn't the one an operator would expect; `note` is empty otherwise."""

    name: str
    note: str = ""


def choose(name: str) -> Choice:
    """The generator to use: `auto` is vLLM where it can be imported, else transformers, and says so.

    Imports vLLM to find out whether it works: for the generating child only.

    Raises:
        EngineError: when the one asked for isn't installed, or none is.
    """
    if name != "auto":
        if not installed(name):
            raise EngineError(f"generation.generator is {name!r}, which is not installed; install it or use 'auto'")
        return Choice(name)
    note = "vLLM is not installed: transformers generates instead, which is slower"
    if installed("vllm"):
        try:
            importlib.import_module("vllm")
        except (ImportError, OSError) as error:
            note = f"vLLM can't be imported ({error}): transformers generates instead, which is slower"
        else:
            return Choice("vllm")
    if installed("transformers"):
        return Choice("transformers", note)
    raise EngineError("no generator is installed; install one with: pip install 'reflectevo[gpu]' (or [cpu])")
