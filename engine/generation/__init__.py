"""Generators: one protocol and several backends that serve a policy. `choose` selects one that is installed.

A new generator needs a module here, a factory in `MAKERS`, and an entry in `store.settings.generation`. Importing this
package loads no model library.
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
"""Factories of generators by name; backends are imported on demand. Requirements are in `store.settings.generation`."""


def register_generator(entry: GeneratorEntry, make: Make) -> None:
    """Register a generator, which settings files can then name. Raises ValueError when the name is taken."""
    GENERATORS.register(entry.name, entry)
    MAKERS.register(entry.name, make)


def unregister_generator(name: str) -> None:
    """Remove a generator that was registered. Raises KeyError for an unknown one."""
    GENERATORS.unregister(name)
    MAKERS.unregister(name)


def installed(name: str) -> bool:
    """Check whether the library of a generator is installed, without importing it."""
    return GENERATORS[name].installed()


@dataclass(frozen=True, slots=True)
class Choice:
    """The selected generator; `note` gives the reason when it is not the preferred one, and is empty otherwise."""

    name: str
    note: str = ""


def choose(name: str) -> Choice:
    """Select the generator to use: `auto` is vLLM where it can be imported, else transformers, with a note.

    Imports vLLM to check that it works, so call it only in the worker process that generates.

    Raises:
        EngineError: When the requested generator is unknown or not installed, or none is installed.
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
    """Return why a generator cannot be used here; empty when it can. Imports its library."""
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
