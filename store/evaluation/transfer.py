"""Transfer tasks: those with `role = "test"`, which are measured and never trained on.

Their results answer another question than those of the trained tasks, so nothing averages the two: the metrics over all
tasks are over the trained ones, and the transfer tasks have a group of their own. Pure, except for one query.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Protocol, TypeVar

TRANSFER = "transfer tasks"
"""Name of the group of all transfer tasks among the tasks of evaluations; no task can have it."""

TRAINED = "trained tasks"
"""Display name of the metrics over all trained tasks in a run that has transfer tasks too."""

TEST_ROLE = "test"
"""Value of `role` of a transfer task."""


class _OfTask(Protocol):
    @property
    def task(self) -> str: ...


ItemT = TypeVar("ItemT", bound=_OfTask)


def transfer_tasks(settings: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the transfer tasks in stored settings; none in those of an earlier version."""
    tasks = settings.get("tasks")
    return frozenset(
        str(task["name"])
        for task in (tasks if isinstance(tasks, list | tuple) else ())
        if isinstance(task, Mapping) and task.get("role") == TEST_ROLE and "name" in task
    )


def transfer_tasks_of_policy(connection: sqlite3.Connection, policy_id: int) -> frozenset[str]:
    """Return the names of the transfer tasks of a policy's run."""
    row = connection.execute(
        "SELECT r.settings FROM policies p JOIN runs r ON r.id = p.run_id WHERE p.id = ?", (policy_id,)
    ).fetchone()
    try:
        settings = json.loads(row[0]) if row else {}
    except ValueError:
        # Damaged settings hide no answers.
        settings = {}
    return transfer_tasks(settings) if isinstance(settings, Mapping) else frozenset()


def grouped(items: Iterable[ItemT], transfer: AbstractSet[str]) -> dict[str, list[ItemT]]:
    """Group questions or answers as evaluations report them, in display order: all trained tasks together under the
    empty name, each trained task, and where there are any all transfer tasks together under `TRANSFER`, then each.

    Args:
        items: what belongs to a task.
        transfer: names of the transfer tasks.
    """
    by_task: dict[str, list[ItemT]] = {"": []}
    for item in items:
        for name in (TRANSFER if item.task in transfer else "", item.task):
            by_task.setdefault(name, []).append(item)
    return {task: by_task[task] for task in sorted(by_task, key=lambda task: place(task, transfer))}


def place(task: str, transfer: AbstractSet[str]) -> tuple[bool, bool, str]:
    """Return the sort key of a task of an evaluation in display order, see `grouped`."""
    return task == TRANSFER or task in transfer, task != TRANSFER, task


def display_name(task: str, transfer: AbstractSet[str], overall: str) -> str:
    """Return how a task of an evaluation is shown; `overall` is the name of all tasks together in a run that trains on
    every task."""
    if not task:
        return TRAINED if transfer else overall
    return f"{task} (transfer)" if task in transfer and task != TRANSFER else task
