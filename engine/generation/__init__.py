"""Generators: one protocol, several ways to serve a policy. `choose` picks one by what is installed.

A further generator is a file here, what makes it below, and its entry in `store.settings.generation`. Imports nothing
heavy by itself.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from engine.errors import EngineError
from engine.generation.base import Generator, Make
from engine.models.weights import PolicyWeights
from store.registry import Registry
from store.settings.generation import AUTO, GENERATORS, GenerationSection, GeneratorEntry


def _vllm(weights: PolicyWeights, settings: GenerationSection, seed: int) -> Generator:
    from engine.generation.vllm import VllmGenerator

    return VllmGenerator(weights, settings, seed)


def _transformers(weights: PolicyWeights, settings: GenerationSection, seed: int) -> Generator:
    from engine.generation.transformers import TransformersGenerator

    return TransformersGenerator(weights, settings, seed)


def _scripted(weights: PolicyWeights, settings: GenerationSection, seed: int) -> Generator:
    from engine.generation.scripted import ScriptedGenerator

    return ScriptedGenerator(weights, settings, seed)


MAKERS: Registry[Make] = Registry("generator", {"vllm": _vllm, "transformers": _transformers, "scripted": _scripted})
"""What makes each generator, by its name; imported on demand. What each needs is in `store.settings.generation`."""


def register_generator(entry: GeneratorEntry, make: Make) -> None:
    """Add a generator: settings files may name it from now on. Raises ValueError when the name is taken."""
    GENERATORS.register(entry.name, entry)
    MAKERS.register(entry.name, make)


def unregister_generator(name: str) -> None:
    """Remove a generator that was registered. Raises KeyError for an unknown one."""
    GENERATORS.unregister(name)
    MAKERS.unregister(name)


def installed(name: str) -> bool:
    """True when the library of a generator is installed; it isn't imported to find out."""
    return GENERATORS[name].installed()


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
    if name != AUTO:
        if name not in GENERATORS:
            raise EngineError(GENERATORS.unknown(name))
        if not installed(name):
            raise EngineError(f"generation.generator is {name!r}, which is not installed; install it or use 'auto'")
        return Choice(name)
    *preferred, last = (entry for entry in GENERATORS.values() if entry.automatic)
    problem = ""
    for entry in preferred:
        failure = _failure(entry)
        if not failure:
            return Choice(entry.name, _instead(problem, entry))
        problem = problem or failure
    if installed(last.name):
        return Choice(last.name, _instead(problem, last))
    raise EngineError("no generator is installed; install one with: pip install 'reflectevo[gpu]' (or [cpu])")


def _failure(entry: GeneratorEntry) -> str:
    """Why a generator can't be used here; empty when it can. Imports its library."""
    if not installed(entry.name):
        return f"{entry.label} is not installed"
    try:
        if entry.module is not None:
            importlib.import_module(entry.module)
    except (ImportError, OSError) as error:
        return f"{entry.label} can't be imported ({error})"
    return ""


def _instead(problem: str, entry: GeneratorEntry) -> str:
    return f"{problem}: {entry.label} generates instead, which is slower" if problem else ""
