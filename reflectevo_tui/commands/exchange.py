"""`reflectevo import` and `reflectevo export`: import published files and export datasets, by the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reflectevo_tui.commands.options import JsonOption, WorkspaceOption, chosen_workspace, guarded, up_to_date

IMPORT_FORMATS = "raw, d-plus, d-pm, d-pref"
EXPORT_FORMATS = "published-raw, published-d-plus, published-d-pm, published-d-pref, trl-sft, trl-dpo, trl-kto"


def import_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Published file: raw reflections, D+, D± or Dpref.")],
    workspace: WorkspaceOption = None,
    file_format: Annotated[
        str | None,
        typer.Option("--format", help=f"Its format, if it is not recognised from the content: {IMPORT_FORMATS}."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new run [default: that of the file].")] = None,
    task: Annotated[str | None, typer.Option(help="Task of the questions [default: the name of the file].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Import a published file as a run to browse.

    Run it again to continue an import that was interrupted.
    """
    chosen = chosen_workspace(context, workspace)

    def work() -> int:
        from reflectevo_tui.engine_client.follow_import import follow_import

        chosen.require()
        arguments = ["-w", str(chosen.root), "--file", str(file.expanduser().resolve())]
        for option, value in (("--format", file_format), ("--name", name), ("--task", task)):
            if value is not None:
                arguments += [option, value]
        return follow_import(arguments, as_json=as_json)

    guarded(work)


def export(
    context: typer.Context,
    run: Annotated[str, typer.Option(help="Name of the run.")],
    export_format: Annotated[str, typer.Option("--format", help=f"One of {EXPORT_FORMATS}.")],
    to: Annotated[Path, typer.Option("--to", help="Directory to create; an existing one is never changed.")],
    workspace: WorkspaceOption = None,
    iteration: Annotated[int | None, typer.Option(help="Number of the iteration [default: the newest].")] = None,
    encoding: Annotated[str, typer.Option("--as", help="jsonl or parquet.")] = "jsonl",
    setting: Annotated[
        str | None, typer.Option(help="Training setting of the examples in a trl format [default: the iteration's].")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Export an iteration as a dataset with its card.

    In the published formats, or as rows for TRL.
    """
    chosen = chosen_workspace(context, workspace)

    def work() -> None:
        from reflectevo_tui.engine_client.process import ask_engine
        from reflectevo_tui.text.display import visible

        up_to_date(chosen)
        arguments = ["--run", run, "--format", export_format, "--as", encoding]
        arguments += ["--to", str(to.expanduser().absolute())]
        if iteration is not None:
            arguments += ["--iteration", str(iteration)]
        if setting is not None:
            arguments += ["--setting", setting]
        done = ask_engine("export", "-w", str(chosen.root), *arguments, seconds=None)
        if as_json:
            typer.echo(json.dumps(done, indent=2, ensure_ascii=True))
            return
        rows = ", ".join(f"{n:,} rows in {name}" for name, n in done["rows"].items())
        typer.echo(visible(f"exported   {done['run']}, iteration {done['iteration']}: {rows}"))
        if done["leaking"]:
            typer.echo(f"leaks      in {done['leaking']:,} rows the prompt contains the training target")
        for what, n in done["remarks"].items():
            typer.echo(visible(f"remark     {n:,} {what}"))
        typer.echo(visible(f"directory  {done['directory']}"))

    guarded(work)
