"""`reflectevo takeover`: ends an engine that holds a workspace without a sign of life, and starts another."""

from __future__ import annotations

from typing import Annotated

import typer

from reflectevo_tui.commands.options import WorkspaceOption, chosen_workspace, guarded


def takeover(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Say what is known of a silent engine, end its process, and start another that goes on from what is stored."""
    chosen = chosen_workspace(context, workspace)

    def work() -> int:
        from reflectevo_tui.engine_client.takeover import give_account, take_over
        from reflectevo_tui.text.display import visible

        account = give_account(chosen)
        for line in account.lines:
            typer.echo(visible(line))
        if not account.may_end:
            typer.echo("nothing is taken over: only an engine that is silent and proved to be ours is ended")
            return 1
        typer.echo("Everything it stored stays; texts that were in hand are generated again.")
        if not yes and not typer.confirm("End this process and start another engine?"):
            return 1
        ended, started = take_over(chosen)
        typer.echo(f"{ended}; engine started (pid {started.pid}). Its log: {started.log}")
        return 0

    guarded(work)
