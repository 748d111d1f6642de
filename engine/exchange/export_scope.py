"""Scope of an export: one iteration of one run, with the inputs of its prompts and examples."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError
from engine.prompts.instructions import BUILT_IN, GENERAL, Pool, compose
from engine.prompts.rollout import Problem
from engine.rollout.load_plan import detailed_kinds, pool_of, problems_of, settings_of
from engine.rollout.plan_prompts import feedback_on
from engine.tasks.base import render_question
from store.exchange.imports import StoredImport, list_imports
from store.records import Iteration, Run, StoredAttempt, StoredQuestion
from store.runs.iterations import list_iterations
from store.runs.runs import list_runs, run_named
from store.settings import PreviousAttempt, RunSettings


class ExportRefused(EngineError):
    """An export that is not possible as requested."""


@dataclass(frozen=True)
class Scope:
    """An iteration to export. `settings` is None for an imported run, `source` for a generated one."""

    run: Run
    iteration: Iteration
    settings: RunSettings | None
    source: StoredImport | None
    pool: Pool

    @property
    def show_previous_attempt(self) -> PreviousAttempt:
        """How correction prompts show the first attempt."""
        return self.settings is None or self.settings.correction.show_previous_attempt

    @property
    def told_wrong(self) -> bool:
        """Whether prompts state that an attempt is wrong."""
        return self.settings is None or self.settings.reflection.on == "wrong"

    def feedback(self, question: StoredQuestion, attempt: StoredAttempt) -> str:
        """Return what prompts say on an attempt besides the verdict."""
        return "" if self.settings is None else feedback_on(detailed_kinds(self.settings), question.task, attempt)

    def problems(self, connection: sqlite3.Connection, questions: Iterable[StoredQuestion]) -> Mapping[int, Problem]:
        """Return the start of each question's prompts. An imported question has no answer format and no examples."""
        listed = list(questions)
        if self.settings is not None:
            return problems_of(connection, self.run.id, self.settings, listed)
        return {one.id: Problem(render_question(one.text, one.options), "") for one in listed}

    def compose(self, instruction: str) -> str:
        """Return the text of an instruction; the general one where an import names one that is not in the pool."""
        known = instruction in self.pool.keys or instruction == GENERAL
        return compose(instruction if known or self.settings is not None else GENERAL, self.pool)


def find_scope(connection: sqlite3.Connection, run_name: str, number: int | None) -> Scope:
    """Return the iteration with that number, or the newest. Raises ExportRefused, which lists the available ones."""
    run = run_named(connection, run_name)
    if run is None:
        names = ", ".join(repr(one.name) for one in list_runs(connection)) or "none"
        raise ExportRefused(f"there is no run {run_name!r} in this workspace; runs are: {names}")
    found = [one for one in list_iterations(connection, run.id) if one.kind == "training"]
    if not found:
        raise ExportRefused(f"run {run_name!r} has no iteration yet; there is nothing to export")
    chosen = found[-1] if number is None else next((one for one in found if one.number == number), None)
    if chosen is None:
        raise ExportRefused(
            f"run {run_name!r} has no iteration {number}; it has 1 to {max(one.number for one in found)}"
        )
    if run.origin == "import":
        source = next(iter(list_imports(connection, run.id)), None)
        if source is not None and source.ended is None:
            raise ExportRefused(
                f"the import of {source.path} is not complete; import it again to continue: reflectevo import "
                + Path(source.path).name
            )
        return Scope(run, chosen, None, source, BUILT_IN)
    return Scope(run, chosen, settings_of(chosen), None, pool_of(connection, run.id))
