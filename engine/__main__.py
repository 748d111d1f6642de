"""Command line of the engine; operators use `reflectevo`, which runs these commands as subprocesses.

`serve` is the supervisor, `child` runs one stage, and the others are one-shot commands that print JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from store.errors import OperatorError
from store.workspace import Workspace


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="supervise a workspace until shut down")
    serve.add_argument("--ready-fd", type=int)
    init = commands.add_parser("init", help="create a workspace")
    init.add_argument("--recipe", default="demo-cpu")
    init.add_argument("--settings", type=Path)
    init.add_argument("--replace", action="store_true")
    upgrade = commands.add_parser("upgrade", help="migrate a workspace of an earlier version")
    child = commands.add_parser("child", help="run one stage (started by serve)")
    child.add_argument("--job", required=True)
    child.add_argument("--parent", type=int, required=True)
    child.add_argument("--report-fd", type=int, required=True)
    prompt = commands.add_parser("prompt", help="render a prompt again as it was sent, as JSON")
    which = prompt.add_mutually_exclusive_group(required=True)
    which.add_argument("--attempt", type=int)
    which.add_argument("--reflection", type=int)
    which.add_argument("--control", type=int)
    check = commands.add_parser("check", help="find everything that would stop a run, as JSON; starts nothing")
    check.add_argument("--settings", type=Path, required=True)
    check.add_argument("-w", "--workspace", type=Path)
    check.add_argument("--quick", action="store_true", help="only what takes no time: no tasks, no models")
    example = commands.add_parser("example", help="show the tokens a curated row is trained on, as JSON")
    example.add_argument("--curated", type=int, required=True)
    example.add_argument("--setting")
    recipe = commands.add_parser("recipe", help="print a shipped recipe, as JSON")
    recipe.add_argument("--name", required=True)
    commands.add_parser("capabilities", help="print what this engine can do, as JSON")
    importing = commands.add_parser("import", help="import a published file; prints one JSON object a line")
    importing.add_argument("--file", type=Path, required=True)
    for option in ("--format", "--name", "--task"):
        importing.add_argument(option, default="")
    exporting = commands.add_parser("export", help="export an iteration as a dataset")
    exporting.add_argument("--run", required=True)
    exporting.add_argument("--iteration", type=int)
    exporting.add_argument("--format", required=True)
    exporting.add_argument("--as", dest="encoding", default="jsonl")
    exporting.add_argument("--setting", default="")
    exporting.add_argument("--to", type=Path, required=True)
    for command in (serve, init, upgrade, child, prompt, example, importing, exporting):
        command.add_argument("-w", "--workspace", type=Path, required=True)
    parsed = parser.parse_args(arguments)
    if parsed.command == "capabilities":
        from engine.supervisor.capabilities import collect

        json.dump(collect(), sys.stdout)
        return 0
    if parsed.command == "check":
        return _check(parsed)
    if parsed.command == "recipe":
        return _recipe(parsed.name)
    workspace = Workspace(parsed.workspace.expanduser().resolve())
    if parsed.command == "child":
        from engine.stages.worker import run_child

        return run_child(workspace.root, parsed.job, parsed.parent, parsed.report_fd)
    if parsed.command == "serve":
        from engine.supervisor.serve import serve_workspace

        return serve_workspace(workspace, parsed.ready_fd)
    try:
        if parsed.command == "init":
            from engine.commands.init import init_workspace

            answer: object = init_workspace(workspace, parsed.recipe, parsed.settings, replace=parsed.replace)
        elif parsed.command == "upgrade":
            from engine.commands.upgrade import upgrade_workspace

            answer = upgrade_workspace(workspace)
        elif parsed.command == "example":
            from engine.training.example_tokens import inspect_example

            answer = inspect_example(workspace, parsed.curated, parsed.setting)
        elif parsed.command == "import":
            from engine.exchange.import_file import import_file

            def report(event: Mapping[str, object]) -> None:
                print(json.dumps(event), flush=True)

            answer = import_file(
                workspace, parsed.file, report, file_format=parsed.format, name=parsed.name, task=parsed.task
            )
        elif parsed.command == "export":
            from engine.exchange.export_run import export_run

            answer = export_run(
                workspace,
                run=parsed.run,
                number=parsed.iteration,
                export_format=parsed.format,
                encoding=parsed.encoding,
                destination=parsed.to,
                setting=parsed.setting,
            )
        else:
            from engine.commands.render_control_prompt import rerender_control
            from engine.commands.render_prompt import rerender

            if parsed.control is not None:
                answer = rerender_control(workspace, parsed.control)
            else:
                answer = rerender(workspace, attempt_id=parsed.attempt, reflection_id=parsed.reflection)
    except OperatorError as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(answer, sys.stdout)
    return 0


def _recipe(name: str) -> int:
    from store.settings.recipes import recipe_text

    try:
        json.dump({"name": name, "text": recipe_text(name)}, sys.stdout)
    except OperatorError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _check(parsed: argparse.Namespace) -> int:
    from dataclasses import asdict

    from engine.commands.check import at_once, everything

    workspace = None if parsed.workspace is None else Workspace(parsed.workspace.expanduser().resolve())
    findings = (at_once if parsed.quick else everything)(parsed.settings, workspace)
    json.dump([asdict(finding) for finding in findings], sys.stdout)
    return 0


if __name__ == "__main__":
    # A reader that closed the pipe must not leave a traceback in the log.
    try:
        sys.exit(main())
    except BrokenPipeError:
        os._exit(1)
