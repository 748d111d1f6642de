"""Shared parts of the commands: the options for workspace and JSON output, and error handling.

The commands are in the modules beside this one; `cli.py` registers them. Imports are inside functions for a fast start.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from store.workspace import Workspace

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "-w", "--workspace", help="Workspace directory [default: $REFLECTEVO_WORKSPACE, or the current directory]."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def chosen_workspace(context: typer.Context, chosen: Path | None) -> Workspace:
    """Return a command's workspace: from its option, the application's option, the environment, or the directory."""
    from store.workspace import Workspace

    path = chosen or context.obj or os.environ.get("REFLECTEVO_WORKSPACE")
    if path is None:
        here = Path.cwd()
        path = here if (here / "reflectevo.db").exists() else here / "reflectevo-workspace"
    return Workspace(Path(path).expanduser().resolve())


def up_to_date(workspace: Workspace) -> Workspace:
    """Return the workspace, after migrating it if an earlier version wrote it; one line on stderr reports that.

    Raises:
        OperatorError: there is no workspace, or it can't be migrated now.
    """
    from reflectevo_tui.engine_client.upgrade import bring_up_to_date

    before = bring_up_to_date(workspace)
    if before is not None:
        typer.echo(f"{workspace.root} was brought up to date: it was of an earlier version (schema {before})", err=True)
    return workspace


def refuse(message: object) -> NoReturn:
    """End the command with one message and exit code 1."""
    typer.echo(str(message), err=True)
    raise typer.Exit(1)


def guarded(work: Callable[[], int | None]) -> NoReturn:
    """Run a command; an OperatorError is printed as one message and gives exit code 1."""
    from store.errors import OperatorError

    try:
        code = work()
    except OperatorError as error:
        refuse(error)
    raise typer.Exit(code or 0)
