"""Generates the parts of docs/ that come from the code: the glossary, and the tables of all settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reflectevo_tui.text.glossary import GLOSSARY
from store.settings.controls import ControlsSection
from store.settings.curation import CurationSection, JudgeSection
from store.settings.evaluation import EvaluationSection
from store.settings.experiment import ExperimentSection, SeriesSection
from store.settings.rollout import AttemptSection, CorrectionSection, ReflectionSection
from store.settings.run import GenerationSection, ReuseSection, RunSettings
from store.settings.tasks import (
    ChoiceTask,
    CodeTask,
    FreeTextTask,
    MathTask,
    ProceduralTask,
    SourcedTask,
    TaskSection,
    WorkedExample,
)
from store.settings.training import SecondStageSection, TrainingSection

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- settings -->", "<!-- end of settings -->"

_SECTIONS: Sequence[tuple[str, str, type[BaseModel]]] = (
    ("`[generation]`", "", GenerationSection),
    ("`[attempt]`", "", AttemptSection),
    ("`[reflection]`", "", ReflectionSection),
    ("`[correction]`", "", CorrectionSection),
    ("`[reuse]`", "", ReuseSection),
    ("`[curation]`", "See [curation](curation.md).", CurationSection),
    ("`[judge]`", "See [curation](curation.md#dpref-and-its-judges).", JudgeSection),
    ("`[training]`", "See [training](training.md).", TrainingSection),
    ("`[training.second_stage]`", "What stage 2 of two stages does differently.", SecondStageSection),
    ("`[evaluation]`", "See [method](method.md#evaluation).", EvaluationSection),
    ("`[evaluation.controls]`", "See [controls](controls.md).", ControlsSection),
    ("`[experiment]`", "See [experiments](experiments.md).", ExperimentSection),
    ("`[[experiment.series]]`", "", SeriesSection),
)
_TASKS: Sequence[tuple[str, str, type[BaseModel]]] = (
    ("`[[tasks]]` of every kind", "See [tasks](tasks.md).", TaskSection),
    ("`[[tasks.examples]]`", "Worked examples, in a task of any kind.", WorkedExample),
    ("`[[tasks]]` that read a file or a dataset", "All kinds but `procedural`.", SourcedTask),
    ('`[[tasks]]` with `kind = "procedural"`', "", ProceduralTask),
    ('`[[tasks]]` with `kind = "choice"`', "", ChoiceTask),
    ('`[[tasks]]` with `kind = "math"`', "", MathTask),
    ('`[[tasks]]` with `kind = "free_text"`', "", FreeTextTask),
    ('`[[tasks]]` with `kind = "code"`', "", CodeTask),
)


def glossary_page() -> str:
    """Return docs/glossary.md."""
    lines = [
        "# Glossary",
        "",
        "The terms of the screens, commands and reports; `?` in the application shows the same list. Written by",
        "`python -m tests.docs` from `reflectevo_tui/text/glossary.py`. How each number is computed is in",
        "[method.md](method.md).",
        "",
        "| term | meaning |",
        "|---|---|",
        *(f"| **{term.name}** | {term.meaning} |" for term in GLOSSARY),
    ]
    return "\n".join(lines) + "\n"


def settings_page(text: str) -> str:
    """Return docs/settings.md with the tables between its markers regenerated.

    Raises:
        ValueError: if the page has no markers for the tables.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/settings.md has no place for the tables: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{_settings()}\n{END}{after}"


def _settings() -> str:
    parts = [_table("At the top of the file", "", _fields(RunSettings, tables=False))]
    parts += [_table(title, lead, _fields(section)) for title, lead, section in _SECTIONS]
    parts += [_table(title, lead, _own_fields(section)) for title, lead, section in _TASKS]
    return "\n".join(parts)


def _fields(section: type[BaseModel], *, tables: bool = True) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        if tables or not (name == "tasks" or _is_table(field)):
            yield name, field


def _own_fields(section: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Return the fields that a task kind adds to the kinds it inherits from, or changes."""
    for name, field in section.model_fields.items():
        if name in section.__annotations__ and name != "kind":
            yield name, field


def _is_table(field: FieldInfo) -> bool:
    return "Section" in str(field.annotation)


def _table(title: str, lead: str, fields: Iterator[tuple[str, FieldInfo]]) -> str:
    lines = [f"### {title}", ""]
    lines += [lead, ""] if lead else []
    lines += ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in fields:
        if _is_table(field):
            continue
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        lines.append(f"| `{name}` | {_default(field)} | {meaning} |")
    return "\n".join([*lines, ""])


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if field.is_required():
        return "required"
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | tuple):
        return "`[" + ", ".join(f'"{one}"' for one in value) + "]`"
    return "`{}`" if value == {} else f"`{value}`"
