"""Can every task be loaded, what of it is left out and why, and are the instructions known?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from engine.commands.check.findings import Finding
from engine.curation.language import check_language
from engine.errors import EngineError
from engine.prompts import instructions
from engine.prompts.instruction_file import load_parts
from engine.tasks import generated_tasks, load_task
from engine.tasks.base import Loaded, SkippedRow
from engine.tasks.loading.decontamination import apart
from store.plural import counted
from store.settings import RunSettings

_REASONS_SHOWN = 5
_NUMBER = re.compile(r"\d+")


def check_tasks(settings: RunSettings, base_directory: Path) -> list[Finding]:
    """Load every task as a run would, and say what came of each, alone and beside the others."""
    found: list[Finding] = []
    loaded: dict[str, Loaded] = {}
    for task in settings.tasks:
        where = f"tasks.{task.name}"
        try:
            loaded[task.name] = load_task(task, base_directory, settings.chooses_by)
        except EngineError as error:
            found.append(Finding("error", where, str(error), f"correct the task {task.name!r} in the settings"))
    try:
        kept = apart(loaded, generated_tasks(settings))
    except EngineError as error:
        # Each task is fine alone; what they hold out leaves one of them nothing.
        found.append(Finding("error", "tasks", str(error), "change the task mix"))
        kept = loaded
    for name, task_loaded in kept.items():
        found.extend(_of_one(f"tasks.{name}", task_loaded))
    return found


def _of_one(where: str, loaded: Loaded) -> list[Finding]:
    counts = [f"{len(loaded.train):,} training", counted(len(loaded.test), "held-out question")]
    if loaded.dev:
        counts.append(counted(len(loaded.dev), "dev question"))
    if loaded.few_shot:
        counts.append(counted(len(loaded.few_shot), "worked example"))
    found = [Finding("ok", where, ", ".join(counts))]
    found.extend(Finding("warning", where, note) for note in loaded.notes)
    found.extend(_skipped(where, loaded.skipped))
    return found


def _skipped(where: str, rows: Sequence[SkippedRow]) -> list[Finding]:
    """The rows that are left out, counted by reason, each with its first example."""
    kinds = Counter(_kind(row) for row in rows)
    first = {_kind(row): row for row in reversed(rows)}
    found = []
    for kind, n in kinds.most_common(_REASONS_SHOWN):
        what = "1 row is left out" if n == 1 else f"{n:,} rows are left out, the first of them"
        found.append(Finding("warning", where, f"{what} ({first[kind].place}): {first[kind].reason}"))
    rest = sum(n for _, n in kinds.most_common()[_REASONS_SHOWN:])
    if rest:
        found.append(Finding("warning", where, f"{counted(rest, 'more row')} left out for other reasons"))
    return found


def _kind(row: SkippedRow) -> str:
    """A reason without the numbers in it, such as those of lines."""
    return _NUMBER.sub("0", row.reason)


def check_curation(settings: RunSettings) -> list[Finding]:
    """Can the filters be applied as set?"""
    try:
        check_language(settings.curation.language)
    except EngineError as error:
        return [Finding("error", "curation.language", str(error), "correct 'curation.language' in the settings")]
    return []


def check_instructions(settings: RunSettings, base_directory: Path) -> list[Finding]:
    """Are an operator's own parts readable, and does the draw name instructions that are in the pool?"""
    where, pool = "reflection.parts", instructions.BUILT_IN
    try:
        if settings.reflection.parts is not None:
            pool = pool.extended(load_parts(base_directory / settings.reflection.parts))
        where = "reflection.instructions"
        keys = instructions.draw(
            settings.reflection.instructions,
            pool=pool,
            question_hash="",
            seed=settings.seed,
            iteration=1,
            usage={},
            yields={},
        )
    except EngineError as error:
        return [Finding("error", where, str(error), f"correct {where!r} in the settings")]
    texts = len(keys) * settings.reflection.samples
    drawn = f"{counted(len(keys), 'instruction')} and {counted(texts, 'reflection')} per wrong answer"
    return [Finding("ok", where, drawn)]
