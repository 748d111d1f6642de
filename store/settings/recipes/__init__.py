"""Shipped recipes: complete settings files to start from.

A recipe is a TOML file in this folder, or one that is concatenated from parts, so that each number is stored once: the
paper's from a model's part and a training setting's part in `paper/`, the analyses from `analysis/common.toml` and the
part of each analysis.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from store.errors import SettingsError

PAPER_MODELS = {"llama3-8b": "Llama-3-8B", "mistral-7b": "Mistral-7B"}
"""Titles of the paper's models, by the file name of their part."""
PAPER_SETTINGS = ("one-stage", "two-stage", "dpo-verdict", "dpo-judge", "sft-qa")
"""Training settings of the paper and its baseline, as file names of their parts."""
ANALYSES = {
    "data-size": "how does accuracy depend on the number of D+ rows?",
    "k": "do more reflections per instruction give a better training set?",
    "instructions": "does a larger pool of instructions give better training reflections?",
    "source": "whose reflections are best to train on?",
    "rounds": "does reflecting on failed corrections add useful training data?",
    "transfer": "does training on some tasks help on others?",
}
"""The question that each analysis answers, by the file name of its part."""


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes, sorted."""
    single = [entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml")]
    return sorted([*single, *_composed()])


def recipe_text(name: str) -> str:
    """Return the TOML text of a recipe.

    Raises:
        SettingsError: when there is no recipe of that name.
    """
    if name not in recipe_names():
        raise SettingsError(f"there is no recipe {name!r}; there are: {', '.join(recipe_names())}")
    if name not in _composed():
        return _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8")
    title, folder, parts = _composed()[name]
    bodies = [_folder().joinpath(folder, f"{part}.toml").read_text(encoding="utf-8") for part in parts]
    return f'# {title}\nname = "{name}"\n' + "\n".join(bodies)


def _folder() -> Traversable:
    return files(__name__)


def _composed() -> dict[str, tuple[str, str, tuple[str, str]]]:
    """Return the title, the folder and the parts of each composed recipe, by its name."""
    paper = {
        f"paper-{model}-{setting}": (
            f"{PAPER_MODELS[model]}, {setting}: settings as in ReflectEvo (Findings of ACL 2025), section 4, appendix.",
            "paper",
            (model, setting),
        )
        for model in PAPER_MODELS
        for setting in PAPER_SETTINGS
    }
    analyses = {
        f"analysis-{name}": (
            f"An experiment of under an hour on two cores: {question} See docs/analyses.md.",
            "analysis",
            ("common", name),
        )
        for name, question in ANALYSES.items()
    }
    return {**paper, **analyses}
