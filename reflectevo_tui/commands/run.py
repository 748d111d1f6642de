"""Steps of `reflectevo run`: check, start, follow. The command itself is in `cli.py`."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from store.workspace import Workspace


def check(workspace: Workspace, settings: Path | None, *, as_json: bool) -> int:
    """Print the findings of the preflight check; return 1 when one would stop the run."""
    from reflectevo_tui.engine_client import preflight

    if settings is None:
        workspace.require()
    found = preflight.findings(settings or workspace.settings_file, workspace, quick=False)
    wrong = preflight.failed(found)
    if as_json:
        typer.echo(json.dumps({"possible": not wrong, "findings": found}, indent=2))
    else:
        typer.echo(preflight.described(found))
    return int(wrong)


def start(workspace: Workspace, settings: Path | None, trusted: list[str], *, as_json: bool) -> None:
    """Start or continue the run, after a quick check whether it can succeed."""
    from reflectevo_tui.engine_client.launch import require_possible, start_or_continue
    from store.settings.toml_file import load_settings

    workspace.require()
    file = settings or workspace.settings_file
    load_settings(file)
    require_possible(file, workspace)
    typer.echo(start_or_continue(workspace, settings, trusted), err=as_json)


def leave(workspace: Workspace, *, as_json: bool) -> int:
    """Print that the engine continues in the background, or as JSON the current status; return 0."""
    if as_json:
        from reflectevo_tui.engine_client.status import collect_status

        typer.echo(json.dumps(collect_status(workspace), indent=2))
    else:
        typer.echo(f"the engine is running in the background; open it with: reflectevo -w {workspace.root}")
    return 0


def follow_to_the_end(workspace: Workspace, *, as_json: bool) -> int:
    """Show progress until the iteration ends or waits; return the exit code documented in `run`."""
    from rich.console import Console

    from reflectevo_tui.engine_client.follow import follow
    from reflectevo_tui.engine_client.status import collect_status

    try:
        code = follow(workspace, Console(stderr=as_json))
    except KeyboardInterrupt:
        typer.echo(f"\ndetached; the engine keeps running. Open it with: reflectevo -w {workspace.root}", err=True)
        return 130
    if as_json:
        typer.echo(json.dumps(collect_status(workspace), indent=2))
    return code
