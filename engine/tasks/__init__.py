"""Task types: how questions are loaded, asked for and judged. A flat registry, one entry per answer type."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import TaskError
from engine.tasks.base import Loaded, TaskType
from engine.tasks.choice import Choice
from engine.tasks.code import Code
from engine.tasks.math import Math
from engine.tasks.procedural import Procedural
from store.settings import RunSettings

TASK_TYPES: Mapping[str, TaskType[Any]] = {
    Procedural.kind: Procedural(),
    Choice.kind: Choice(),
    Math.kind: Math(),
    Code.kind: Code(),
}
"""Every answer type by its kind."""


def task_type(kind: str) -> TaskType[Any]:
    """The task type of a kind. Raises TaskError for an unknown one."""
    try:
        return TASK_TYPES[kind]
    except KeyError:
        raise TaskError(f"there is no task kind {kind!r}: use {', '.join(TASK_TYPES)}") from None


def load_tasks(settings: RunSettings, base_dir: Path) -> dict[str, Loaded]:
    """The questions of every task of a run, by task name; no task trains on or shows what another holds out.

    Paths are relative to `base_dir`. Raises TaskError when a task can't be loaded as set.
    """
    loaded = {task.name: task_type(task.kind).load(task, base_dir, settings.seed) for task in settings.tasks}
    held_out = {question.wording for one in loaded.values() for question in one.test}
    return {name: _apart(name, one, held_out) for name, one in loaded.items()}


def _apart(name: str, loaded: Loaded, held_out: AbstractSet[str]) -> Loaded:
    """The task without training questions and worked examples that another task holds out."""
    train = tuple(question for question in loaded.train if question.wording not in held_out)
    few_shot = tuple(example for example in loaded.few_shot if example.wording not in held_out)
    notes = loaded.notes
    for kept, of, what in (
        (len(train), len(loaded.train), "training questions"),
        (len(few_shot), len(loaded.few_shot), "worked examples"),
    ):
        if kept < of:
            notes += (f"task {name!r}: {of - kept} {what} left out, because another task holds them out",)
    if not train:
        raise TaskError(f"task {name!r}: every training question is held out by another task; check the task mix")
    return replace(loaded, train=train, few_shot=few_shot, notes=notes)
