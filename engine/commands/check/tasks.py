"""Checks the tasks, with the rows that are left out and why, the curation filters, and the instructions."""

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
from store.evaluation.number_format import counted
from store.settings import RunSettings

_REASONS_SHOWN = 5
_NUMBER = re.compile(r"\d+")


def check_tasks(settings: RunSettings, base_directory: Path) -> list[Finding]:
    """Load every task as a run would, and check each by itself and for overlap with the others."""
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
        # Each task is fine by itself, but the held-out questions of the others leave one of them without questions.
        found.append(Finding("error", "tasks", str(error), "change the task mix"))
        kept = loaded
    for name, task_loaded in kept.items():
        found.extend(_of_one(f"tasks.{name}", task_loaded, transfer=name in settings.transfer_tasks))
    return found


def _of_one(where: str, loaded: Loaded, *, transfer: bool) -> list[Finding]:
    trained = "measured only" if transfer else f"{len(loaded.train):,} training"
    counts = [trained, counted(len(loaded.test), "held-out question")]
    if loaded.dev:
        counts.append(counted(len(loaded.dev), "dev question"))
    if loaded.few_shot:
        counts.append(counted(len(loaded.few_shot), "worked example"))
    found = [Finding("ok", where, ", ".join(counts))]
    found.extend(Finding("warning", where, note) for note in loaded.notes)
    found.extend(_skipped(where, loaded.skipped))
    return found


def _skipped(where: str, rows: Sequence[SkippedRow]) -> list[Finding]:
    """Return the rows that are left out, counted by reason, each with its first example."""
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
    """Return a row's reason without its numbers, such as line numbers, so that rows can be grouped by it."""
    return _NUMBER.sub("0", row.reason)


def check_curation(settings: RunSettings) -> list[Finding]:
    """Check whether the curation filters can be applied as configured."""
    try:
        check_language(settings.curation.language)
    except EngineError as error:
        return [Finding("error", "curation.language", str(error), "correct 'curation.language' in the settings")]
    return []


def check_instructions(settings: RunSettings, base_directory: Path) -> list[Finding]:
    """Check whether the operator's own parts are readable, and whether the draw names only instructions in the pool."""
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
