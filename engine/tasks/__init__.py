"""Task types: how questions are loaded, asked for and judged. A flat registry, one entry per answer type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import EngineError, TaskError
from engine.tasks.apart import apart
from engine.tasks.base import Loaded, TaskType
from engine.tasks.choice import Choice
from engine.tasks.code import Code
from engine.tasks.free_text import FreeText
from engine.tasks.math import Math
from engine.tasks.procedural import Procedural
from store.settings import RunSettings

TASK_TYPES: Mapping[str, TaskType[Any]] = {
    Procedural.kind: Procedural(),
    Choice.kind: Choice(),
    Math.kind: Math(),
    FreeText.kind: FreeText(),
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
    """The questions of every task of a run, by task name; none trains on, tunes on or shows what another holds out.

    Paths are relative to `base_dir`. Raises one TaskError that names every task that can't be loaded as set.
    """
    loaded: dict[str, Loaded] = {}
    failed: list[str] = []
    for task in settings.tasks:
        try:
            loaded[task.name] = task_type(task.kind).load(task, base_dir, settings.chooses_by)
        except EngineError as error:
            prefix = "" if f"task {task.name!r}" in str(error) else f"task {task.name!r}: "
            failed.append(f"{prefix}{error}")
    if len(failed) == 1:
        raise TaskError(failed[0])
    if failed:
        raise TaskError("\n".join([f"{len(failed)} tasks can't be loaded:", *failed]))
    return apart(loaded, {task.name for task in settings.tasks if task.kind == Procedural.kind})
