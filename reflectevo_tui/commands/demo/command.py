"""`reflectevo demo-data`: creates a synthetic workspace for trying the application and for benchmarks."""

from __future__ import annotations

from typing import Annotated

import typer

from reflectevo_tui.commands.options import JsonOption, WorkspaceOption, chosen_workspace, guarded


def demo_data(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    rows: Annotated[int, typer.Option(min=100, help="Number of trajectories.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same rows.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make a synthetic workspace to try the application on.

    Three iterations with policies, evaluations, training sets and reviews.
    """
    chosen = chosen_workspace(context, workspace)

    def work() -> None:
        import json

        from rich.console import Console
        from rich.progress import Progress

        from reflectevo_tui.commands.demo.synthetic_store import DemoStore

        made = 0
        with Progress(console=Console(stderr=True), disable=as_json) as progress:
            task = progress.add_task("synthetic trajectories", total=rows)
            for made in DemoStore(chosen, rows, seed).make():
                progress.update(task, completed=made)
        if as_json:
            typer.echo(json.dumps({"workspace": str(chosen.root), "trajectories": made, "seed": seed}))
        else:
            typer.echo(f"workspace  {chosen.root} ({made:,} synthetic trajectories)")
            typer.echo(f"next       reflectevo -w {chosen.root}")

    guarded(work)
