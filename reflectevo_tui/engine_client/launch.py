"""Launch of a run, shared by the command line and the Launch screen.

Checks whether the run can succeed and whether code from its model repositories is confirmed, and chooses the directive
that starts it. Called from thread workers; no widgets.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reflectevo_tui.engine_client.directives import issue_and_wait
from reflectevo_tui.engine_client.preflight import described_level, failed, findings
from reflectevo_tui.engine_client.process import start_engine
from store.control.directives import issue
from store.database.connection import reading, writing
from store.errors import OperatorError
from store.records import DirectiveKind, Iteration, JsonObject
from store.runs.iterations import ACTIVE, current_iteration
from store.runs.runs import run_named
from store.settings import RunSettings
from store.settings.toml_file import load_settings
from store.workspace import Workspace


class LaunchRefused(OperatorError):
    """Raised when nothing was started; the message gives the reason and the fix."""


class RunRefused(LaunchRefused):
    """Raised when a run with these settings can't succeed here; the message lists every error."""


class CodeUnconfirmed(LaunchRefused):
    """Raised when models would run code from their repositories that the operator did not confirm."""

    def __init__(self, models: tuple[str, ...]) -> None:
        super().__init__(f"{', '.join(models)} would run code of its own on this machine; it was not confirmed")
        self.models = models


@dataclass(frozen=True, slots=True)
class Launched:
    """An issued directive."""

    kind: DirectiveKind
    uuid: str
    engine_pid: int
    warnings: str
    """Warnings of the preflight check; empty when there are none."""
    note: str
    """Note on the directive for the operator; can be empty."""


def edited(text: str, changes: Mapping[str, Any]) -> str:
    """Return TOML text with the given dotted keys set; everything else, including comments, is preserved."""
    import tomlkit
    from tomlkit.items import Table

    document = tomlkit.parse(text)
    for key, value in changes.items():
        *sections, name = key.split(".")
        table: Any = document
        for section in sections:
            if not isinstance(table.get(section), Table):
                table[section] = tomlkit.table()
            table = table[section]
        table[name] = value
    return tomlkit.dumps(document)


def require_possible(settings_file: Path, workspace: Workspace) -> str:
    """Check quickly whether a run with these settings can succeed, without reading tasks or looking for models.

    Returns:
        The warnings, each with its fix; empty when there are none.

    Raises:
        RunRefused: with every error and its fix.
        EngineUnavailable: when the engine process can't be run.
    """
    found = findings(settings_file, workspace, quick=True)
    if failed(found):
        raise RunRefused(described_level(found, "error"))
    return described_level(found, "warning")


@dataclass(frozen=True, slots=True)
class StartDirective:
    """The directive that starts settings. `unconfirmed` are models whose repository code would run unconfirmed."""

    kind: DirectiveKind
    arguments: JsonObject
    unconfirmed: tuple[str, ...] = ()
    note: str = ""
    """Note for the operator; can be empty."""


def start_directive(
    connection: sqlite3.Connection, settings: RunSettings, settings_file: Path, confirmed: Sequence[str] = ()
) -> StartDirective | Iteration:
    """Return the directive that starts settings, or the iteration when it is already active and needs none.

    The directive creates a new run, starts the next iteration of the run of that name, or resumes its unfinished one.

    Args:
        connection: a reading or writing connection.
        settings: the settings to start.
        settings_file: the file of the settings; paths in them are relative to its directory.
        confirmed: the models whose repository code the operator confirmed.
    """
    values = settings.model_dump(mode="json")
    run = run_named(connection, settings.name)
    if run is None:
        arguments = {
            "settings": values,
            "base_directory": str(settings_file.resolve().parent),
            "confirmed_code": list(confirmed),
        }
        unconfirmed = tuple(name for name in settings.trust_remote_code if name not in confirmed)
        return StartDirective("start_run", arguments, unconfirmed)
    current = current_iteration(connection, run.id)
    if current is not None and current.kind == "evaluation" and current.state not in ACTIVE:
        # An evaluation that ended or stopped is not one of the run's iterations.
        current = current_iteration(connection, run.id, "training")
    if current is None or current.state == "done":
        return StartDirective("start_iteration", {"run": run.id, "settings": values})
    if current.state in ("running", "waiting"):
        return current
    if current.state in ("failed", "stopped"):
        # The engine takes what may still change, and its outcome names each setting.
        return StartDirective("resume", {"iteration": current.id, "settings": values})
    differs = RunSettings.model_validate(current.settings) != settings
    note = f"{current.title} resumes with the settings that it was started with" if differs else ""
    return StartDirective("resume", {"iteration": current.id}, note=note)


def start_or_continue(workspace: Workspace, settings_file: Path | None, confirmed: Sequence[str] = ()) -> str:
    """Start the run of a settings file, resume its unfinished iteration, or start the next one; return the outcome.

    Args:
        workspace: the workspace.
        settings_file: the settings file; None for the workspace's own.
        confirmed: the models whose repository code the operator confirmed.

    Raises:
        SettingsError: when the settings are invalid.
        DirectiveRefused: when the engine refuses.
        EngineUnavailable: when the engine can't be started.
    """
    file = settings_file or workspace.settings_file
    settings = load_settings(file)
    start_engine(workspace)
    with reading(workspace.require().database) as connection:
        wanted = start_directive(connection, settings, file, confirmed)
    if isinstance(wanted, Iteration):
        return f"{wanted.title} of run {settings.name!r} is already {wanted.state}"
    return issue_and_wait(workspace, wanted.kind, wanted.arguments, start=False)


def launch(workspace: Workspace, settings: RunSettings, confirmed: Sequence[str] = ()) -> Launched:
    """Check whether the run can succeed, start the engine if none runs, and issue the directive.

    Does not wait for the outcome.

    Args:
        workspace: the workspace whose settings file contains the settings.
        settings: the settings read from that file.
        confirmed: the models whose repository code the operator confirmed.

    Raises:
        CodeUnconfirmed: when models would run code from their repositories that is not confirmed.
        RunRefused: when the run can't succeed.
        LaunchRefused, EngineUnavailable, StoreError: with the reason; nothing was started.
    """
    with writing(workspace.database, durable=True) as connection:
        wanted = start_directive(connection, settings, workspace.settings_file, confirmed)
        if isinstance(wanted, Iteration):
            raise LaunchRefused(
                f"Run {settings.name} already exists, and its {wanted.title} is {wanted.state}. "
                "See 1 Monitor, or give this run another name."
            )
        if wanted.unconfirmed:
            raise CodeUnconfirmed(wanted.unconfirmed)
        warnings = require_possible(workspace.settings_file, workspace)
        started = start_engine(workspace)
        uuid = issue(connection, wanted.kind, wanted.arguments)
    return Launched(wanted.kind, uuid, started.pid, warnings, wanted.note)
