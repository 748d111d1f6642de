"""`reflectevo repair`: checks the database of a workspace and recovers the readable rows of a damaged one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reflectevo_tui.commands.options import WorkspaceOption, chosen_workspace, guarded, refuse


def repair(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    to: Annotated[
        Path | None, typer.Option(help="Directory to create for the saved rows [default: next to the database].")
    ] = None,
    salvage: Annotated[bool, typer.Option("--salvage", help="Save the rows of an intact database too.")] = False,
) -> None:
    """Check the database thoroughly; save every readable row of a damaged one, and never change it."""
    chosen = chosen_workspace(context, workspace)

    def work() -> int:
        import time

        from reflectevo_tui.text.display import visible
        from store.control.liveness import lock_owner
        from store.database.repair import SALVAGED, look

        chosen.require()
        owner = lock_owner(chosen.lock_file)
        if owner is not None:
            refuse(f"an engine is running here (pid {owner}); stop it first with: reflectevo -w {chosen.root} shutdown")
        place = to or chosen.root / f"salvaged-{time.strftime('%Y%m%d-%H%M%S')}"
        if place.exists():
            refuse(f"{place} already exists; name a new directory with --to")
        found = look(
            chosen.database,
            place.expanduser().resolve(),
            always=salvage,
            on_table=lambda name: typer.echo(f"reading {name} …", err=True),
        )
        if found.sound:
            typer.echo("the database is intact")
        else:
            typer.echo("the database is damaged:")
            for finding in found.findings[:10]:
                typer.echo(f"  {visible(finding)}")
        if found.directory is None:
            return 0
        for name, saved in found.tables.items():
            lost = f", {saved.unreadable} ids unreadable" if saved.unreadable else ""
            left = f", {saved.incomplete} left out of the new database (parts lost)" if saved.incomplete else ""
            if saved.read or lost:
                typer.echo(f"  {name:<16} {saved.read:>10,} rows{lost}{left}")
        typer.echo(f"saved in   {found.directory}: {SALVAGED}, and every row as JSON lines")
        typer.echo(f"untouched  {chosen.database}")
        if not found.sound:
            typer.echo(
                "next       move the old database with its -wal and -shm files away, put the new one in its place"
            )
        return 0

    guarded(work)
