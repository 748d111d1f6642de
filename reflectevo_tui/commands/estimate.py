"""`reflectevo estimate`: resources of a recipe, from a workspace's measured rates and an operator's own figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from reflectevo_tui.commands.options import JsonOption, WorkspaceOption, chosen_workspace, guarded

if TYPE_CHECKING:
    from store.estimates.estimate import Estimate
    from store.settings import RunSettings
    from store.workspace import Workspace


def estimate(
    context: typer.Context,
    recipe: Annotated[
        str | None,
        typer.Argument(help="A shipped recipe or a settings file [default: the workspace's reflectevo.toml]."),
    ] = None,
    workspace: WorkspaceOption = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs for generation; 0 for a CPU.")] = None,
    training_gpus: Annotated[int | None, typer.Option(min=0, help="GPUs for training; 0 for a CPU.")] = None,
    generation_rate: Annotated[float | None, typer.Option(help="Tokens/s that one GPU generates.")] = None,
    training_rate: Annotated[float | None, typer.Option(help="Tokens/s that one GPU trains on.")] = None,
    price: Annotated[float | None, typer.Option(help="Price of one GPU hour.")] = None,
    figures: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any value listed below the table: name=value."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Save the given values in the workspace's estimate.toml.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Estimate what a run takes: tokens, time, disk, memory, price.

    The source of each value is listed: measured in this workspace, given, the settings, or a named reference. A value
    that is not known stays a name in a formula.
    """
    chosen = chosen_workspace(context, workspace)
    options = {
        "gpus": gpus,
        "training_gpus": training_gpus,
        "generation_tokens_per_s": generation_rate,
        "training_tokens_per_s": training_rate,
        "price_per_gpu_hour": price,
    }

    def work() -> None:
        from reflectevo_tui.state import estimate
        from store.estimates.inputs import given

        words = [f"{name}={value}" for name, value in options.items() if value is not None]
        own = given([*words, *(figures or [])])
        settings = estimate.settings_of(recipe, chosen)
        if keep:
            estimate.keep(chosen, own)
        found = estimate.estimate_in(chosen, settings, own)
        if as_json:
            from reflectevo_tui.text.estimates import as_json as to_json

            typer.echo(json.dumps({"name": settings.name, "model": settings.model, **to_json(found)}, indent=2))
        else:
            _print(settings, found, chosen)

    guarded(work)


def _print(settings: RunSettings, found: Estimate, workspace: Workspace) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from reflectevo_tui.text import estimates
    from reflectevo_tui.text.display import visible

    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    where = str(workspace.root) if workspace.database.exists() else "no workspace"
    console.print(Text(visible(f"{settings.name} · {settings.model} · measurements from: {where}")))
    for title, stages in (("first iteration", found.first), ("each later iteration", found.later)):
        if title != "first iteration" and found.iterations == 1:
            continue
        table = Table(title, "texts", "prompt tokens", "generated tokens", "training tokens", "time", box=None)
        for stage in stages:
            table.add_row(*(Text(part) for part in estimates.stage_cells(stage)))
        console.print(table)
        console.print()
    sums = Table("the whole run", "", box=None)
    for name, value in estimates.sums(found):
        sums.add_row(Text(name), Text(value))
    console.print(sums)
    console.print()
    figures = Table("name", "value", "source", "meaning", box=None)
    for row in estimates.figure_rows(found):
        figures.add_row(*(Text(visible(part)) for part in row))
    console.print(figures)
