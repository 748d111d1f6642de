"""Command line: `reflectevo` opens the terminal application, its commands provide the same for scripts.

Imports are inside functions, so that `--help` is fast.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reflectevo_tui.commands import control
from reflectevo_tui.commands.demo.command import demo_data
from reflectevo_tui.commands.estimate import estimate
from reflectevo_tui.commands.evaluate import evaluate
from reflectevo_tui.commands.exchange import export, import_file
from reflectevo_tui.commands.experiment import experiment
from reflectevo_tui.commands.lazy_group import group_on_demand
from reflectevo_tui.commands.options import JsonOption, WorkspaceOption, chosen_workspace, guarded, up_to_date
from reflectevo_tui.commands.repair import repair
from reflectevo_tui.commands.report import report
from reflectevo_tui.commands.takeover import takeover

if TYPE_CHECKING:
    from store.workspace import Workspace

EPILOG = (
    "Exit codes: 0 done · 1 refused or wrong · 2 usage · 3 a stage failed · 4 waits at a gate · "
    "5 paused, stopped or skipped · 6 the engine ended · 130 interrupted (the engine keeps running)."
)

commands = typer.Typer()
app = typer.Typer(
    cls=group_on_demand(commands),
    rich_markup_mode=None,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
    help="Supervise the self-evolution of small language models. Without a command: the terminal application.",
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    context.obj = workspace
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("reflectevo"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        chosen = chosen_workspace(context, workspace)

        def work() -> int:
            from reflectevo_tui.terminal.environment import prepare_environment

            up_to_date(chosen)
            prepare_environment()
            return _open_app(chosen)

        guarded(work)


def _open_app(workspace: Workspace) -> int:
    """Open the terminal application; `prepare_environment` was called before."""
    from reflectevo_tui.terminal.idle_gc import IdleCollector

    collector = IdleCollector()
    from reflectevo_tui.app import ReflectEvoApp

    application = ReflectEvoApp(workspace, collector)
    application.run()
    return application.return_code or 0


@commands.command()
def init(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    recipe: Annotated[str, typer.Option(help="Shipped recipe to start from.")] = "demo-cpu",
    settings: Annotated[Path | None, typer.Option(help="Settings file (TOML) to start from instead.")] = None,
    replace: Annotated[bool, typer.Option(help="Replace the settings file if there is one.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Create a workspace: database, settings file and directories."""
    chosen = chosen_workspace(context, workspace)

    def work() -> None:
        from reflectevo_tui.engine_client.process import ask_engine

        arguments = ["init", "-w", str(chosen.root), "--recipe", recipe]
        if settings is not None:
            arguments += ["--settings", str(settings.expanduser().resolve())]
        if replace:
            arguments.append("--replace")
        done = ask_engine(*arguments)
        if as_json:
            typer.echo(json.dumps(done, indent=2))
            return
        typer.echo(f"workspace  {done['workspace']}{'' if done['created'] else ' (already existed)'}")
        typer.echo(f"settings   {done['settings']}{'' if done['wrote'] else ' (not changed)'}")
        typer.echo(f"next       reflectevo -w {done['workspace']} run")

    guarded(work)


@commands.command(epilog=EPILOG)
def run(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file [default: the workspace's reflectevo.toml].")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would stop the run; start nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; the engine keeps running.")] = False,
    tui: Annotated[bool, typer.Option("--tui", help="Open the terminal application on it.")] = False,
    trust_code: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="A model listed in trust_remote_code that may run its own code."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start the run, continue it, or start its next iteration.

    Shows progress until the iteration ends or waits. With --json progress goes to standard error, and the status is
    printed at the end; with --dry-run the findings are.
    """
    chosen = chosen_workspace(context, workspace)

    def work() -> int:
        from reflectevo_tui.commands import run

        if dry_run:
            return run.check(chosen, settings, as_json=as_json)
        if tui:
            from reflectevo_tui.terminal.environment import prepare_environment

            # Before the run starts: a terminal that can't show the application must not leave a run behind.
            prepare_environment()
        run.start(chosen, settings, trust_code or [], as_json=as_json)
        if tui:
            return _open_app(chosen)
        return (run.leave if detach else run.follow_to_the_end)(chosen, as_json=as_json)

    guarded(work)


@commands.command()
def status(context: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show the state of the run."""
    chosen = chosen_workspace(context, workspace)

    def work() -> None:
        from reflectevo_tui.engine_client.status import collect_status, describe_status
        from reflectevo_tui.text.display import visible

        found = collect_status(chosen)
        if as_json:
            typer.echo(json.dumps(found, indent=2, ensure_ascii=True))
        else:
            typer.echo(visible(describe_status(found)))

    guarded(work)


@commands.command()
def doctor(context: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Check the installation and the workspace.

    Each finding comes with its fix.
    """
    chosen = chosen_workspace(context, workspace)

    def work() -> int:
        from reflectevo_tui.commands.doctor import as_json as to_json
        from reflectevo_tui.commands.doctor import examine

        findings = examine(chosen)
        if as_json:
            typer.echo(json.dumps(to_json(findings), indent=2))
        else:
            for finding in findings:
                glyph = {"ok": "✓", "warning": "!", "error": "✗"}[finding.level]
                typer.echo(f"{glyph} {finding.what}")
                if finding.fix:
                    typer.echo(f"    → {finding.fix}")
        return int(any(finding.level == "error" for finding in findings))

    guarded(work)


commands.command("eval", epilog=EPILOG)(evaluate)
commands.command(epilog=EPILOG)(experiment)
for _command in (
    *(estimate, report, repair, takeover),
    *(control.approve, control.skip, control.reject, control.pause, control.resume, control.stop, control.shutdown),
    *(control.promote, control.rollback, control.branch, control.retry, control.save_now),
):
    commands.command()(_command)
commands.command("demo-data")(demo_data)
commands.command("import")(import_file)
commands.command("export")(export)


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except BrokenPipeError:
        # The reader (e.g. `head`) closed the pipe; without this, Python's flush at exit would raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
