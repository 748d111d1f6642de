"""Saves the settings of a workspace and asks the engine to run them. Called from thread workers; no widgets."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reflectevo_tui.engine_client.process import start_engine
from store.control.directives import issue
from store.database.connection import open_writer
from store.records import JsonObject
from store.runs.iterations import list_iterations
from store.runs.runs import run_named
from store.settings import RunSettings
from store.workspace import Workspace


class LaunchRefused(Exception):
    """Nothing was started; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A directive was issued."""

    kind: str
    uuid: str
    engine_pid: int


def edited(text: str, changes: Mapping[str, Any]) -> str:
    """TOML text with some dotted keys set; everything else, comments too, stays as it was."""
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


def wanted_directive(
    connection: sqlite3.Connection, workspace: Workspace, settings: RunSettings
) -> tuple[str, JsonObject]:
    """The directive that launches settings: a new run, or the next iteration of the run of that name.

    Raises:
        LaunchRefused: when the run of that name isn't done with its newest iteration.
    """
    values = settings.model_dump(mode="json", exclude_none=True)
    run = run_named(connection, settings.name)
    if run is None:
        return "start_run", {"settings": values, "base_directory": str(workspace.settings_file.parent.resolve())}
    newest = [one for one in list_iterations(connection, run.id) if one.kind == "training"][-1:]
    if newest and newest[0].state != "done":
        raise LaunchRefused(
            f"Run {run.name} is there already, and its {newest[0].title} is {newest[0].state}. "
            "See 1 Monitor, or give this one another name."
        )
    return "start_iteration", {"run": run.id, "settings": values}


def launch(workspace: Workspace, settings: RunSettings) -> Launched:
    """Start the engine if none runs, and issue the directive.

    Raises:
        LaunchRefused, EngineUnavailable, StoreError, sqlite3.Error: each with its reason.
    """
    connection = open_writer(workspace.database, durable=True)
    try:
        kind, arguments = wanted_directive(connection, workspace, settings)
        started = start_engine(workspace)
        uuid = issue(connection, kind, arguments)
    finally:
        connection.close()
    return Launched(kind, uuid, started.pid)
