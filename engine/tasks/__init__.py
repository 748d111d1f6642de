"""Task types: how questions are loaded, presented and verified. A flat registry with one entry per kind of answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import EngineError, TaskError
from engine.tasks.answers.extraction import extract
from engine.tasks.base import Example, Loaded
from engine.tasks.choice import Choice
from engine.tasks.free_text import FreeText
from engine.tasks.loading.decontamination import apart
from engine.tasks.mathematics import Math
from engine.tasks.procedural import Procedural
from engine.tasks.programming import Code
from engine.tasks.task_kind import TaskType
from store.evaluation.number_format import counted
from store.registry import Registry
from store.settings import RunSettings
from store.settings.run import register_task_section, unregister_task_section
from store.settings.tasks import Task, TaskSection

TASK_TYPES: Registry[TaskType[Any]] = Registry(
    "task kind", {one.kind: one for one in (Procedural(), Choice(), Math(), FreeText(), Code())}
)
"""Every task type by the name of its kind."""


def register_task_kind(task: TaskType[Any], section: type[TaskSection]) -> None:
    """Register a kind of task, so that settings files can name it.

    Args:
        task: the task type.
        section: its settings model, whose field `kind` is a Literal of the kind's name.

    Raises:
        ValueError: if the name is taken, or the settings model belongs to another kind.
    """
    register_task_section(task.kind, section)
    TASK_TYPES.register(task.kind, task)


def unregister_task_kind(kind: str) -> None:
    """Remove a registered kind of task. Raises KeyError for an unknown one."""
    unregister_task_section(kind)
    TASK_TYPES.unregister(kind)


def generated_tasks(settings: RunSettings) -> set[str]:
    """Return the names of the tasks whose questions are generated from a seed."""
    return {task.name for task in settings.tasks if task_type(task.kind).generated}


def task_type(kind: str) -> TaskType[Any]:
    """Return the task type of a kind. Raises TaskError for an unknown one."""
    if kind not in TASK_TYPES:
        raise TaskError(TASK_TYPES.unknown(kind))
    return TASK_TYPES[kind]


def load_task(task: Task, base_dir: Path, seed: int) -> Loaded:
    """Load the questions of one task, with the operator's worked examples placed before those of the source.

    Raises:
        TaskError: if the task can't be loaded, or a worked example of the operator shows no answer.
    """
    own = _own_examples(task)
    return _shown_first(task.name, own, task_type(task.kind).load(task, base_dir, seed))


def load_tasks(settings: RunSettings, base_dir: Path) -> dict[str, Loaded]:
    """Load the questions of every task of a run, by task name.

    No task keeps a train, dev or few-shot question that any task of the run holds out. Paths are relative to
    `base_dir`.

    Raises:
        TaskError: if tasks can't be loaded with these settings; a single error names all of them.
    """
    loaded: dict[str, Loaded] = {}
    failed: list[str] = []
    for task in settings.tasks:
        try:
            loaded[task.name] = load_task(task, base_dir, settings.chooses_by)
        except EngineError as error:
            prefix = "" if f"task {task.name!r}" in str(error) else f"task {task.name!r}: "
            failed.append(f"{prefix}{error}")
    if len(failed) == 1:
        raise TaskError(failed[0])
    if failed:
        raise TaskError("\n".join([f"{len(failed)} tasks can't be loaded:", *failed]))
    return apart(loaded, generated_tasks(settings))


def _own_examples(task: TaskSection) -> tuple[Example, ...]:
    """Return the operator's worked examples. Raises TaskError for a reply without a recognisable answer."""
    for number, example in enumerate(task.examples, start=1):
        if extract(example.reply, multiline=True).answer is None:
            raise TaskError(
                f"task {task.name!r}: the reply of worked example {number} has no answer that can be read; "
                "end it as replies are asked to end, e.g. with 'Answer: 7'"
            )
    return tuple(
        Example(example.question.strip(), example.reply.strip(), example.attempt, example.reflection)
        for example in task.examples
    )


def _shown_first(name: str, own: tuple[Example, ...], one: Loaded) -> Loaded:
    """Put the operator's worked examples before those of the source; drop the training questions that they show."""
    shown = {example.wording for example in own}
    train = tuple(question for question in one.train if question.wording not in shown)
    left_out = len(one.train) - len(train)
    notes = one.notes
    if left_out:
        many = counted(left_out, "training question")
        notes = (*notes, f"task {name!r}: {many} left out: shown by worked examples")
    return replace(one, train=train, few_shot=(*own, *one.few_shot), notes=notes)
