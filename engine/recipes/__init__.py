"""Shipped recipes: complete settings files to start from. A recipe is a TOML file here, nothing else."""

from __future__ import annotations

from importlib.resources import files

from engine.errors import EngineError


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in files(__name__).iterdir() if entry.name.endswith(".toml")
    )


def recipe_text(name: str) -> str:
    """The TOML of a recipe.

    Raises:
        EngineError: when there is none of that name.
    """
    if name not in recipe_names():
        raise EngineError(f"there is no recipe {name!r}; there are: {', '.join(recipe_names())}")
    return files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
