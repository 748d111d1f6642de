"""`reflectevo experiment`: run several series from one base policy, compared on the same questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reflectevo_tui.commands.options import JsonOption, WorkspaceOption, chosen_workspace, guarded, up_to_date


def experiment(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file [default: the workspace's reflectevo.toml].")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is left to do; start nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the experiment of the settings, or continue it.

    Its series run one after another, each policy is measured on the test questions. It can be interrupted at any
    time and continued. `reflectevo report` writes the results.
    """
    chosen = chosen_workspace(context, workspace)

    def work() -> int:
        from rich.console import Console

        from reflectevo_tui.engine_client.launch import require_possible
        from reflectevo_tui.experiment.drive import described, drive, known_of, require_experiment
        from reflectevo_tui.experiment.plan import Complete, missing, next_step
        from store.settings.toml_file import load_settings

        file = settings or up_to_date(chosen).settings_file
        values = load_settings(file)
        require_experiment(values, file)
        code = 0
        if not dry_run:
            require_possible(file, chosen)
            try:
                code = drive(chosen, values, file.resolve().parent, Console(stderr=as_json))
            except KeyboardInterrupt:
                typer.echo(
                    f"\ndetached; the engine finishes this step. To continue: reflectevo -w {chosen.root} experiment",
                    err=True,
                )
                code = 130
        if dry_run or as_json:
            known = known_of(chosen, values)
            step, lacking = next_step(values, known), missing(values, known)
            if as_json:
                whole = isinstance(step, Complete)
                typer.echo(json.dumps({"complete": whole, "next": described(step), "missing": lacking}, indent=2))
            else:
                typer.echo(f"next: {described(step)}")
                for words in lacking:
                    typer.echo(f"missing: {words}")
        return code

    guarded(work)
