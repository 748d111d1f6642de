"""`reflectevo eval`: measure a policy on held-out questions, outside an iteration."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reflectevo_tui.commands.options import (
    JsonOption,
    WorkspaceOption,
    chosen_workspace,
    guarded,
    refuse,
    up_to_date,
)

if TYPE_CHECKING:
    from reflectevo_tui.report.report_contents import MeasuredTask
    from store.estimates.control_cost import ControlCost
    from store.settings import RunSettings
    from store.workspace import Workspace


class Split(StrEnum):
    """Split of the questions."""

    test = "test"
    dev = "dev"


class Protocol(StrEnum):
    """Evaluation protocol: which answers are reflected on."""

    oracle = "oracle"
    free = "oracle-free"
    both = "both"


def evaluate(
    context: typer.Context,
    named: Annotated[
        str | None, typer.Argument(metavar="[POLICY]", help="Name of the policy [default: the run's current one].")
    ] = None,
    workspace: WorkspaceOption = None,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file [default: the workspace's reflectevo.toml].")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="The same as POLICY.")] = None,
    split: Annotated[Split | None, typer.Option(help="Questions to answer [default: as in the settings].")] = None,
    protocol: Annotated[
        Protocol | None, typer.Option(help="Which answers are reflected on [default: as in the settings].")
    ] = None,
    controls: Annotated[
        bool, typer.Option("--controls", help="Also measure whether the content of the reflections helps.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what the controls would cost; start nothing.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; the engine keeps running.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a policy on held-out questions.

    Answers that are already stored are not generated again. A run that does not exist yet is created, and its base
    model measured. With --controls, each wrong first answer is corrected again with something else in place of the
    reflection; what that costs is printed first.
    """
    chosen = chosen_workspace(context, workspace)
    if named is not None and policy not in (None, named):
        refuse(f"two policies are named, {named} and {policy}; name one")
    measured = named or policy

    def work() -> int:
        from rich.console import Console

        from reflectevo_tui.engine_client.directives import issue_and_wait
        from reflectevo_tui.engine_client.follow import COMPLETED, follow
        from reflectevo_tui.engine_client.launch import require_possible
        from store.settings.toml_file import load_settings, validate_settings

        file = settings or up_to_date(chosen).settings_file
        values = load_settings(file).model_dump(mode="json")
        options = {"split": split, "protocol": protocol}
        changed = {name: str(value) for name, value in options.items() if value is not None}
        measuring = values["evaluation"] | changed
        if controls:
            measuring["controls"] = {**measuring["controls"], "enabled": True}
        asked = validate_settings({**values, "evaluation": measuring, "experiment": None})
        if asked.evaluation.controls.enabled:
            cost = cost_of(chosen, asked, measured)
            if dry_run:
                typer.echo(json.dumps(cost.as_json(), indent=2) if as_json else cost.words)
                return 0
            typer.echo(cost.words, err=as_json)
        elif dry_run:
            refuse("--dry-run prints what the controls would cost; it needs --controls")
        require_possible(file, chosen)
        arguments = {
            "settings": values,
            "evaluation": measuring,
            "base_directory": str(file.resolve().parent),
            "policy": measured,
        }
        typer.echo(issue_and_wait(chosen, "evaluate", arguments, start=True), err=as_json)
        if detach:
            typer.echo(
                f"the engine is running in the background; open it with: reflectevo -w {chosen.root}", err=as_json
            )
            return 0
        try:
            code = follow(chosen, Console(stderr=as_json))
        except KeyboardInterrupt:
            typer.echo(f"\ndetached; the engine keeps running. Open it with: reflectevo -w {chosen.root}", err=True)
            return 130
        if code == COMPLETED:
            found = newest_evaluation(chosen)
            by_policy = newest_controls(chosen) if asked.evaluation.controls.enabled else None
            typer.echo(as_json_text(found, by_policy) if as_json else as_table(found, by_policy))
        return code

    guarded(work)


def newest_evaluation(workspace: Workspace) -> list[MeasuredTask]:
    """Return the metrics of the workspace's newest evaluation, by protocol and task, overall first."""
    from reflectevo_tui.report.report_contents import MeasuredTask, protocol_key
    from store.database.connection import reading
    from store.evaluation.transfer import TRANSFER, place, transfer_tasks
    from store.runs.iterations import list_iterations
    from store.runs.policies import evaluations, get_policy

    with reading(workspace.require().database) as connection:
        newest = [one for one in list_iterations(connection) if one.kind == "evaluation"][-1]
        if newest.parent_id is None:
            return []
        policy = get_policy(connection, newest.parent_id)
        transfer = transfer_tasks(newest.settings)
        found = [
            MeasuredTask(
                policy.name,
                one.protocol,
                one.task,
                one.n,
                one.metrics,
                one.split,
                one.task == TRANSFER or one.task in transfer,
            )
            for one in evaluations(connection, newest.run_id)
            if one.policy_id == policy.id and one.created >= newest.created
        ]
    return sorted(found, key=lambda one: (protocol_key(one.protocol), place(one.task, transfer)))


def cost_of(workspace: Workspace, settings: RunSettings, policy: str | None) -> ControlCost:
    """Return what the controls of a policy, by default of the run's newest one that is promoted, would cost."""
    from reflectevo_tui.state.estimate import estimate_in
    from store.database.connection import reading
    from store.estimates.control_cost import control_cost
    from store.runs.policies import list_policies
    from store.runs.runs import run_named

    figures = estimate_in(workspace, settings, {}).figures
    if not workspace.database.exists():
        return control_cost(settings, figures, None, policy)
    with reading(workspace.database) as connection:
        run = run_named(connection, settings.name)
        promoted = [one.name for one in list_policies(connection, run.id) if one.state == "promoted"] if run else []
        return control_cost(settings, figures, connection, policy or (promoted[-1] if promoted else None))


def newest_controls(workspace: Workspace) -> dict[str, Any]:
    """Return the controls of the policy of the workspace's newest evaluation, by its name."""
    from reflectevo_tui.engine_client.status import controls_of
    from store.database.connection import reading
    from store.runs.iterations import list_iterations

    with reading(workspace.require().database) as connection:
        newest = [one for one in list_iterations(connection) if one.kind == "evaluation"][-1]
        return controls_of(connection, newest)


def as_json_text(measured: list[MeasuredTask], controls: dict[str, Any] | None) -> str:
    """Format the metrics as JSON: a list, or with controls an object of both."""
    rows = [asdict(one) for one in measured]
    return json.dumps(rows if controls is None else {"evaluation": rows, "controls": controls}, indent=2)


def as_table(measured: list[MeasuredTask], controls: dict[str, Any] | None = None) -> str:
    """Format the metrics as lines of text: task, metric, value, and its interval with the number of questions; then the
    controls."""
    from reflectevo_tui.report.formatting import metric, metric_name
    from reflectevo_tui.report.result_sections import ALL_TASKS, metric_order, protocol_names, without_repeats
    from reflectevo_tui.text.control_words import control_table
    from reflectevo_tui.text.display import visible
    from store.evaluation.transfer import display_name

    names = protocol_names(one.protocol for one in measured)
    lines: list[str] = []
    for protocol, name in names.items():
        chosen = without_repeats([one for one in measured if one.protocol == protocol])
        lines += ["", f"policy {chosen[0].policy} · {name} · {chosen[0].split} questions", ""]
        transfer = {one.task for one in chosen if one.transfer}
        rows: list[tuple[str, ...]] = [("task", "metric", "value", "95 % interval")]
        for one in chosen:
            for place, key in enumerate(metric_order(one.metrics)):
                number = metric(key, one.metrics[key])
                label = metric_name(key)
                if key.startswith(("tokens_", "prompt_tokens_")):
                    label = f"{'prompt ' if key.startswith('prompt') else ''}tokens, {label}"
                rows.append(
                    (
                        "" if place else display_name(one.task, transfer, ALL_TASKS),
                        label,
                        number.value,
                        number.aside,
                    )
                )
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines += [_line(row, widths) for row in rows]
    for policy, results in (controls or {}).items():
        lines += control_table(policy, results)
    return visible("\n".join(lines))


def _line(row: tuple[Any, ...], widths: list[int]) -> str:
    task, name, value, aside = row
    return f"{task:<{widths[0]}}  {name:<{widths[1]}}  {value:>{widths[2]}}  {aside}".rstrip()
