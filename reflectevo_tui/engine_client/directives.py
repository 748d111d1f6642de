"""Issues directives from the command line and waits for the engine's word on them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from reflectevo_tui.engine_client.process import start_engine
from store.control.directives import find, issue
from store.control.liveness import lock_owner
from store.database.connection import open_reader, open_writer
from store.errors import DirectiveRefused
from store.runs import iterations
from store.runs.runs import run_named
from store.settings.toml_file import load_settings
from store.workspace import Workspace

_ANSWER_SECONDS = 30.0
_ACTIVE = ("running", "waiting", "paused")


def issue_and_wait(workspace: Workspace, kind: str, arguments: Mapping[str, object], *, start: bool) -> str:
    """Issue a directive and return the engine's outcome.

    Args:
        workspace: where.
        kind: the directive.
        arguments: its arguments.
        start: start the engine when none runs; else the directive waits for the next one.

    Raises:
        DirectiveRefused: with the engine's reason.
        EngineUnavailable: when the engine can't be started.
    """
    if start:
        start_engine(workspace)
    with closing(open_writer(workspace.require().database, durable=True)) as connection:
        uuid = issue(connection, kind, arguments)
    if lock_owner(workspace.lock_file) is None:
        return f"{kind} is noted; no engine runs here, the next one obeys it (start it with: reflectevo run)"
    deadline = time.monotonic() + _ANSWER_SECONDS
    with closing(open_reader(workspace.database)) as connection:
        while time.monotonic() < deadline:
            # Looked at in this order: an engine that answers and ends at once has answered.
            gone = lock_owner(workspace.lock_file) is None
            directive = find(connection, uuid)
            if directive is not None and directive.done is not None:
                if not directive.accepted:
                    raise DirectiveRefused(f"{kind}: {directive.outcome}")
                return str(directive.outcome)
            if gone:
                raise DirectiveRefused(
                    f"{kind} is noted, but the engine ended before it answered; the next one obeys it"
                )
            time.sleep(0.05)
    raise DirectiveRefused(
        f"{kind} is noted, but the engine hasn't answered in {_ANSWER_SECONDS:.0f} s; see reflectevo status"
    )


def start_or_continue(workspace: Workspace, settings_file: Path | None, trusted: Sequence[str] = ()) -> str:
    """Start the run of the workspace's settings file, continue its unfinished iteration, or start the next one.

    `trusted` are the models whose own code the operator confirmed.

    Raises:
        SettingsError: when the settings are wrong.
        DirectiveRefused: when the engine refuses.
        EngineUnavailable: when the engine can't be started.
    """
    path = settings_file or workspace.settings_file
    settings = load_settings(path)
    values = settings.model_dump(mode="json")
    start_engine(workspace)
    with closing(open_reader(workspace.require().database)) as connection:
        run = run_named(connection, settings.name)
        current = iterations.current_iteration(connection, run.id) if run else None
        if run is not None and current is not None and current.kind == "evaluation" and current.state not in _ACTIVE:
            # An evaluation that ended or stopped is no part of the run's way on.
            current = iterations.current_iteration(connection, run.id, "training")
    if run is None:
        arguments = {"settings": values, "base_directory": str(path.resolve().parent), "confirmed_code": list(trusted)}
        return issue_and_wait(workspace, "start_run", arguments, start=False)
    if current is None or current.state == "done":
        return issue_and_wait(workspace, "start_iteration", {"run": run.id, "settings": values}, start=False)
    if current.state in ("stopped", "failed", "paused"):
        return issue_and_wait(workspace, "resume", {"iteration": current.id}, start=False)
    return f"{current.title} of run {run.name!r} goes on"
