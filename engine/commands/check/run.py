"""Checks whether the name of the run is free in the workspace, or names a run that can continue."""

from __future__ import annotations

from pathlib import Path

from engine.commands.check.findings import Finding
from store.database.connection import reading
from store.errors import StoreError
from store.runs.iterations import current_iteration
from store.runs.runs import run_named
from store.settings import RunSettings
from store.settings.run import changed_fixed
from store.settings.toml_file import validate_settings
from store.workspace import Workspace


def check_name(settings: RunSettings, settings_file: Path, workspace: Workspace | None) -> list[Finding]:
    """Check the name: an existing run of that name can continue only with the same fixed settings."""
    if workspace is None or not workspace.database.exists():
        return []
    try:
        with reading(workspace.database) as connection:
            run = run_named(connection, settings.name)
            iteration = current_iteration(connection, run.id) if run else None
    except StoreError as error:
        return [
            Finding("error", "workspace", str(error), "restore the database from a copy, or choose another workspace")
        ]
    if run is None:
        return [Finding("ok", "name", f"{settings.name!r} would be a new run")]
    if run.origin != "engine":
        what = f"{run.name!r} is the name of a run that was not created in this workspace ({run.origin})"
        return [Finding("error", "name", what, f"give the run another name in {settings_file}")]
    try:
        stored = validate_settings(run.settings)
    except StoreError as error:
        what = f"the settings stored with run {run.name!r} are not valid any more: {error}"
        return [Finding("error", "name", what, f"give the run another name in {settings_file}")]
    found = [
        Finding(
            "error",
            name,
            f"run {run.name!r} exists already with another {name!r}, which can't change within a run",
            f"give the run another name in {settings_file}, or set {name!r} back",
        )
        for name in changed_fixed(stored, settings)
    ]
    state = f"{iteration.title} is {iteration.state}" if iteration else "it has no iteration"
    return found or [Finding("ok", "name", f"run {run.name!r} would continue: {state}")]
