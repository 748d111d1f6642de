"""Runs an experiment step by step, through the same directives that an operator issues; follows each to its end.

All state is in the workspace: the command can be interrupted at any time, and resumes from there when restarted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from reflectevo_tui.engine_client.directives import issue_and_wait
from reflectevo_tui.engine_client.follow import COMPLETED, ENGINE_GONE, FAILED, INTERRUPTED, WAITING, watch
from reflectevo_tui.experiment.plan import Complete, Iterate, Known, Measure, ResumeIteration, Step, next_step
from reflectevo_tui.text.display import visible
from store.curation.trained_rows import count_trained_rows
from store.curation.training_settings import TRAINING_SETTINGS
from store.database.connection import read, reading
from store.errors import OperatorError
from store.records import Iteration
from store.runs.iterations import get_iteration, list_iterations, stages
from store.runs.policies import evaluations, list_policies
from store.runs.runs import run_named
from store.runs.stages import OPERATIONAL_SETTINGS
from store.settings import RunSettings
from store.workspace import Workspace

_TRIES = 1
"""Number of times that a failed step is resumed in one call before the experiment stops."""


class ExperimentRefused(OperatorError):
    """Raised when an experiment can't be run with these settings; the message gives the reason and the fix."""


def require_experiment(settings: RunSettings, source: Path) -> None:
    """Raise ExperimentRefused for settings without an experiment."""
    if settings.experiment is None:
        raise ExperimentRefused(
            f"{source} describes no experiment; add [experiment] with its series, or start from the recipe proof-cpu "
            "(reflectevo init --recipe proof-cpu)"
        )


def known_of(workspace: Workspace, settings: RunSettings) -> Known:
    """Read the stored state of the experiment's run.

    Raises:
        ExperimentRefused: when the run was started with other settings.
    """
    with reading(workspace.require().database) as connection, read(connection):
        run = run_named(connection, settings.name)
        if run is None:
            return Known()
        _require_as_begun(run.settings, settings)
        return Known(
            list_iterations(connection, run.id), list_policies(connection, run.id), evaluations(connection, run.id)
        )


def _require_as_begun(stored: Mapping[str, Any], settings: RunSettings) -> None:
    old, new = (_essential(RunSettings.model_validate(stored))), _essential(settings)
    different = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    if different:
        raise ExperimentRefused(
            f"run {settings.name!r} was started with other settings in {', '.join(different)}; the results would "
            "not be comparable. Restore them, or give the new experiment another name"
        )


def _essential(settings: RunSettings) -> dict[str, Any]:
    values = settings.model_dump(mode="json", exclude=set(OPERATIONAL_SETTINGS))
    experiment = values.pop("experiment") or {}
    told = ("remarks", "recipes_tried")
    return values | {f"experiment.{name}": value for name, value in experiment.items() if name not in told}


def drive(workspace: Workspace, settings: RunSettings, base_directory: Path, console: Console) -> int:
    """Run the remaining steps of an experiment; return the exit code, as in `reflectevo run`.

    Raises:
        DirectiveRefused: when the engine refuses a step.
        ExperimentRefused: when the run was started with other settings.
    """
    tried: dict[int, int] = {}
    while True:
        step = next_step(settings, known_of(workspace, settings))
        if isinstance(step, Complete):
            _say(console, f"experiment {settings.name!r} is complete; write the report with: reflectevo report")
            return COMPLETED
        if isinstance(step, ResumeIteration) and nothing_to_train_on(workspace, step.iteration):
            _say(console, f"{step.iteration.title} has too little to train on and is abandoned")
            issue_and_wait(workspace, "reject", {"iteration": step.iteration.id}, start=True)
            continue
        _say(console, described(step))
        if isinstance(step, ResumeIteration):
            code = _continue_iteration(workspace, step.iteration, tried)
            if code is not None:
                return code
        elif isinstance(step, Measure):
            issue_and_wait(
                workspace,
                "evaluate",
                {
                    "settings": settings.model_dump(mode="json"),
                    "evaluation": step.settings.evaluation.model_dump(mode="json"),
                    "base_directory": str(base_directory),
                    "policy": step.policy,
                },
                start=True,
            )
        else:
            wanted = {"policy": step.policy_id, "settings": step.settings.model_dump(mode="json")}
            issue_and_wait(workspace, "branch", wanted, start=True)
        code = _outcome(workspace, watch(workspace, console), tried, console)
        if code is not None:
            return code


def described(step: Step) -> str:
    """Describe a step as text."""
    if isinstance(step, Measure):
        return f"measuring {step.policy} on the test questions ({step.why})"
    if isinstance(step, Iterate):
        return f"{step.series.title}: iteration {step.number} of {step.series.iterations}"
    return f"continuing {step.iteration.title}" if isinstance(step, ResumeIteration) else "complete"


def _continue_iteration(workspace: Workspace, iteration: Iteration, tried: dict[int, int]) -> int | None:
    """ResumeIteration an unfinished iteration; return an exit code when this command can't resume it."""
    if iteration.state in ("paused", "stopped", "failed"):
        tried[iteration.id] = tried.get(iteration.id, 0) + 1
        issue_and_wait(workspace, "resume", {"iteration": iteration.id}, start=True)
    elif iteration.state == "running":
        # A restarted engine resumes the iteration without a directive.
        from reflectevo_tui.engine_client.process import start_engine

        start_engine(workspace)
    return WAITING if iteration.state == "waiting" else None


def _outcome(workspace: Workspace, status: dict[str, Any], tried: dict[int, int], console: Console) -> int | None:
    """Return the exit code when the experiment can't continue, else None."""
    iteration = status["iteration"]
    if iteration is None:
        return FAILED
    title, state, where = iteration["title"], iteration["state"], status["workspace"]
    if state == "done":
        _say(console, f"{title}: {iteration['reason']}")
        return None
    if state == "failed":
        _say(console, f"{title} failed: {iteration['reason']}")
        with reading(workspace.database) as connection:
            failed = get_iteration(connection, iteration["id"])
        if nothing_to_train_on(workspace, failed) or tried.get(failed.id, 0) < _TRIES:
            return None
        _say(console, f"finished work is kept; to retry: reflectevo -w {where} experiment")
        return FAILED
    if state == "waiting":
        _say(console, f"{title} waits at gate {iteration['gate']}: {iteration['reason']}")
        _say(console, f"to continue: reflectevo -w {where} approve {iteration['gate']}, then experiment")
        return WAITING
    if state in ("paused", "stopped"):
        _say(console, f"{title} is {state}; to continue: reflectevo -w {where} experiment")
        return INTERRUPTED
    _say(
        console,
        f"the engine ended while {title} was {state}; nothing is lost. To continue: reflectevo -w {where} experiment",
    )
    return ENGINE_GONE


def nothing_to_train_on(workspace: Workspace, iteration: Iteration) -> bool:
    """Check whether an iteration failed because its training set is below the configured minimum: a result, no fault.

    Such an iteration is abandoned, and its series continues from the same policy.
    """
    if iteration.state != "failed":
        return False
    settings = RunSettings.model_validate(iteration.settings)
    entry = TRAINING_SETTINGS[settings.training.setting]
    with reading(workspace.database) as connection:
        failed = [one.name for one in stages(connection, iteration.id) if one.state == "failed"]
        rows = count_trained_rows(connection, iteration.id, iteration.run_id, entry, settings.curation.max_per_question)
    # Training questions are chosen before the run: too few of them are a mistake in the settings.
    if failed != ["train"] or entry.row_source == "questions":
        return False
    return rows.kept < settings.training.min_examples


def _say(console: Console, words: str) -> None:
    console.print(visible(words), markup=False, highlight=False, soft_wrap=True)
