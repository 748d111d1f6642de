"""Shipped recipes: complete settings files to start from.

A recipe is a TOML file in this folder, or one of the paper's, which are concatenated from a model's part and a training
setting's part in `paper/`, so that each of the paper's numbers is stored once.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from store.errors import SettingsError

PAPER_MODELS = {"llama3-8b": "Llama-3-8B", "mistral-7b": "Mistral-7B"}
"""Titles of the paper's models, by the file name of their part."""
PAPER_SETTINGS = ("one-stage", "two-stage", "dpo-verdict", "dpo-judge", "sft-qa")
"""Training settings of the paper and its baseline, as file names of their parts."""


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes, sorted."""
    single = [entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml")]
    return sorted([*single, *_paper_recipes()])


def recipe_text(name: str) -> str:
    """Return the TOML text of a recipe.

    Raises:
        SettingsError: when there is no recipe of that name.
    """
    if name not in recipe_names():
        raise SettingsError(f"there is no recipe {name!r}; there are: {', '.join(recipe_names())}")
    parts = _paper_recipes().get(name)
    if parts is None:
        return _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8")
    model, setting = parts
    title = (
        f"# {PAPER_MODELS[model]}, {setting}: settings as in ReflectEvo (Findings of ACL 2025), section 4, appendix.\n"
    )
    bodies = [_folder().joinpath("paper", f"{part}.toml").read_text(encoding="utf-8") for part in parts]
    return f'{title}name = "{name}"\n' + "\n".join(bodies)


def _folder() -> Traversable:
    return files(__name__)


def _paper_recipes() -> dict[str, tuple[str, str]]:
    """Return the parts (model, training setting) of each of the paper's recipes, by the recipe's name."""
    return {f"paper-{model}-{setting}": (model, setting) for model in PAPER_MODELS for setting in PAPER_SETTINGS}
