"""Can every task be loaded, what of it is left out and why, and are the instructions known?"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from engine import instructions
from engine.check.findings import Finding
from engine.errors import EngineError, TaskError
from engine.tasks import load_tasks, task_type
from engine.tasks.base import Loaded, SkippedRow
from store.settings import RunSettings

_REASONS_SHOWN = 5
_NUMBER = re.compile(r"\d+")


def check_tasks(settings: RunSettings, base_directory: Path) -> list[Finding]:
    """Load every task as a run would, and say what came of each."""
    found: list[Finding] = []
    whole = True
    for task in settings.tasks:
        where = f"tasks.{task.name}"
        try:
            loaded = task_type(task.kind).load(task, base_directory, settings.seed)
        except TaskError as error:
            found.append(Finding("error", where, str(error), f"correct the task {task.name!r} in the settings"))
            whole = False
        else:
            found.extend(_of_one(where, loaded))
    if whole:
        found.extend(_together(settings, base_directory, found))
    return found


def _of_one(where: str, loaded: Loaded) -> list[Finding]:
    counts = f"{len(loaded.train)} training, {len(loaded.test)} held-out questions, {len(loaded.few_shot)} examples"
    found = [Finding("ok", where, counts)]
    found.extend(Finding("warning", where, note) for note in loaded.notes)
    found.extend(_skipped(where, loaded.skipped))
    return found


def _skipped(where: str, rows: tuple[SkippedRow, ...]) -> list[Finding]:
    """The rows that are left out, counted by reason, each with its first example."""
    if not rows:
        return []
    kinds = Counter(_kind(row) for row in rows)
    first = {_kind(row): row for row in reversed(rows)}
    found = [
        Finding(
            "warning",
            where,
            f"{n} {'row is' if n == 1 else 'rows are'} left out: {first[kind].reason} "
            f"({'' if n == 1 else 'first '}{first[kind].path}, line {first[kind].line})",
        )
        for kind, n in kinds.most_common(_REASONS_SHOWN)
    ]
    rest = sum(n for _, n in kinds.most_common()[_REASONS_SHOWN:])
    if rest:
        found.append(Finding("warning", where, f"{rest} rows more are left out for other reasons"))
    return found


def _kind(row: SkippedRow) -> str:
    """A reason without the numbers in it, such as those of lines."""
    return _NUMBER.sub("0", row.reason)


def _together(settings: RunSettings, base_directory: Path, alone: list[Finding]) -> list[Finding]:
    """What shows only when the tasks stand beside one another: questions that one trains on and another holds out."""
    try:
        loaded = load_tasks(settings, base_directory)
    except TaskError as error:
        return [Finding("error", "tasks", str(error), "change the task mix")]
    said = {finding.what for finding in alone}
    return [
        Finding("warning", f"tasks.{name}", note)
        for name, task in loaded.items()
        for note in task.notes
        if note not in said
    ]


def check_instructions(settings: RunSettings, base_directory: Path) -> list[Finding]:
    """Does the draw name instructions that are in the pool?"""
    where = "reflection.instructions"
    try:
        keys = instructions.draw(
            settings.reflection.instructions,
            question_hash="",
            seed=settings.seed,
            iteration=1,
            usage={},
            yields={},
        )
    except EngineError as error:
        return [Finding("error", where, str(error), f"correct {where!r} in the settings")]
    texts = len(keys) * settings.reflection.samples
    return [Finding("ok", where, f"{len(keys)} instructions a wrong answer, {texts} reflections")]
