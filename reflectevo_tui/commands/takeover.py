"""`reflectevo takeover`: ends an unresponsive engine that holds the lock of a workspace, and starts another."""

from __future__ import annotations

from typing import Annotated

import typer

from reflectevo_tui.commands.options import WorkspaceOption, chosen_workspace, guarded


def takeover(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Show what is known of an unresponsive engine, end its process and start another, which continues the run."""
    chosen = chosen_workspace(context, workspace)

    def work() -> int:
        from reflectevo_tui.engine_client.takeover import describe_holder, take_over
        from reflectevo_tui.text.display import visible

        account = describe_holder(chosen)
        for line in account.lines:
            typer.echo(visible(line))
        if not account.may_end:
            typer.echo("no takeover: only an unresponsive engine that is verified as this workspace's is ended")
            return 1
        typer.echo("Everything it stored is kept; unfinished texts are generated again.")
        if not yes and not typer.confirm("End this process and start another engine?"):
            return 1
        ended, started = take_over(chosen)
        typer.echo(f"{ended}; engine started (pid {started.pid}). Its log: {started.log}")
        return 0

    guarded(work)
