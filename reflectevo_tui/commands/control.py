"""Commands that control the engine: gates, pausing, policies, retries.

Each issues one directive and prints its outcome. All decisions are made by the engine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from reflectevo_tui.commands.options import JsonOption, WorkspaceOption, chosen_workspace, guarded

if TYPE_CHECKING:
    import sqlite3

    from store.records import DirectiveKind, Policy, Run
    from store.workspace import Workspace

RunOption = Annotated[str | None, typer.Option("--run", help="Name of the run [default: the current one].")]
PutAsideOption = Annotated[
    bool,
    typer.Option(
        "--put-aside",
        help="End the iteration waiting at a gate; it can't be resumed, its data stays available.",
    ),
]
PolicyArgument = Annotated[str, typer.Argument(help="Name of the policy (e.g. p01) or its id.")]


def issue_and_report(
    context: typer.Context,
    workspace: Path | None,
    kind: DirectiveKind,
    *,
    as_json: bool,
    start: bool,
    arguments: Any = None,
) -> NoReturn:
    """Issue a directive and print the engine's outcome.

    Args:
        context: the context of the command.
        workspace: the workspace option of the command.
        kind: the kind of directive.
        as_json: print `{"directive", "accepted", "outcome"}` instead of text, also for a refusal.
        start: start the engine when none runs.
        arguments: the directive's arguments, or a function that computes them from the workspace.
    """
    chosen = chosen_workspace(context, workspace)

    def work() -> int:
        from reflectevo_tui.engine_client.directives import issue_and_wait
        from store.errors import DirectiveRefused

        chosen.require()
        accepted = True
        try:
            given = arguments(chosen) if callable(arguments) else arguments or {}
            outcome = issue_and_wait(chosen, kind, given, start=start)
        except DirectiveRefused as refusal:
            if not as_json:
                raise
            accepted, outcome = False, str(refusal)
        if as_json:
            typer.echo(json.dumps({"directive": kind, "accepted": accepted, "outcome": outcome}, indent=2))
        else:
            typer.echo(outcome)
        return 0 if accepted else 1

    guarded(work)


def approve(
    context: typer.Context,
    stage: Annotated[str | None, typer.Argument(help="The gate [default: the one that is waiting].")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the iteration pass the gate it waits at."""
    arguments = {} if stage is None else {"stage": stage}
    issue_and_report(context, workspace, "approve", as_json=as_json, start=True, arguments=arguments)


def skip(
    context: typer.Context,
    stage: Annotated[str | None, typer.Argument(help="The stage [default: the one that is waiting].")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Skip the stage that waits at its gate.

    The stages that depend on it are skipped too, and the iteration ends without a child. After a skipped evaluation
    the child exists and waits for a decision.
    """
    arguments = {} if stage is None else {"stage": stage}
    issue_and_report(context, workspace, "skip", as_json=as_json, start=True, arguments=arguments)


def reject(
    context: typer.Context,
    policy: Annotated[
        str | None, typer.Argument(help="A policy by name or id [default: the one that is waiting].")
    ] = None,
    run: RunOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reject the child policy that waits for promotion.

    An iteration that is stopped or failed is abandoned, so that the next one can start. With POLICY that policy is
    rejected, even if it was promoted before.
    """
    if policy is None:
        issue_and_report(context, workspace, "reject", as_json=as_json, start=True)
    _issue_for_policy(context, workspace, "reject", policy, run, as_json)


def pause(context: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Pause generation, or training at its next step.

    What is being generated is kept.
    """
    issue_and_report(context, workspace, "pause", as_json=as_json, start=False)


def resume(context: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Continue after a pause, a stop or a failure.

    After a stop or a failure, settings that were changed in the workspace's file are taken where they still can.
    """
    issue_and_report(context, workspace, "resume", as_json=as_json, start=True, arguments=_file_settings)


def stop(context: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Stop the iteration once running work is saved.

    Training saves a checkpoint first; resume continues exactly there.
    """
    issue_and_report(context, workspace, "stop", as_json=as_json, start=False)


def save_now(context: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Write a checkpoint of the running training."""
    issue_and_report(context, workspace, "save_now", as_json=as_json, start=False)


def retry(context: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Retry failed samples and failed stages.

    Settings that were changed in the workspace's file are taken where they still can.
    """
    issue_and_report(context, workspace, "retry_failed", as_json=as_json, start=True, arguments=_file_settings)


def _file_settings(workspace: Workspace) -> dict[str, object]:
    """Return the settings of the workspace's file as an argument; nothing if there is no valid file.

    An invalid file does not prevent an iteration from continuing with the settings that it was started with.
    """
    from store.errors import SettingsError
    from store.settings.toml_file import load_settings

    try:
        return {"settings": load_settings(workspace.settings_file).model_dump(mode="json")}
    except SettingsError:
        return {}


def shutdown(context: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Shut the engine down once running work is saved."""
    issue_and_report(context, workspace, "shut_down", as_json=as_json, start=False)


def promote(
    context: typer.Context,
    policy: PolicyArgument,
    run: RunOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Promote a policy.

    This overrides what the rule or an operator decided before.
    """
    _issue_for_policy(context, workspace, "promote", policy, run, as_json)


def rollback(
    context: typer.Context,
    policy: PolicyArgument,
    run: RunOption = None,
    put_aside: PutAsideOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Roll back to an earlier policy.

    The next iteration starts from it; later promotions are revoked. While an iteration waits at a gate, this needs
    --put-aside.
    """
    _issue_for_policy(context, workspace, "rollback", policy, run, as_json, put_aside=put_aside)


def branch(
    context: typer.Context,
    policy: PolicyArgument,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file of the new iteration [default: the run's].")
    ] = None,
    run: RunOption = None,
    put_aside: PutAsideOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start an iteration from any policy of the run.

    While an iteration waits at a gate, this needs --put-aside; the new one then uses its settings, unless others are
    given.
    """

    def arguments(chosen: Workspace) -> dict[str, object]:
        given = _policy_argument(chosen, policy, run, put_aside=put_aside)
        if settings is not None:
            from store.settings.toml_file import load_settings

            given["settings"] = load_settings(settings).model_dump(mode="json")
        return given

    issue_and_report(context, workspace, "branch", as_json=as_json, start=True, arguments=arguments)


def _issue_for_policy(
    context: typer.Context,
    workspace: Path | None,
    kind: DirectiveKind,
    policy: str,
    run: str | None,
    as_json: bool,
    *,
    put_aside: bool = False,
) -> NoReturn:
    """Issue a directive on one policy."""
    issue_and_report(
        context,
        workspace,
        kind,
        as_json=as_json,
        start=True,
        arguments=lambda chosen: _policy_argument(chosen, policy, run, put_aside=put_aside),
    )


def _policy_argument(workspace: Workspace, name: str, run: str | None, *, put_aside: bool) -> dict[str, object]:
    from store.database.connection import reading
    from store.errors import DirectiveRefused
    from store.runs import iterations

    with reading(workspace.database) as connection:
        found = chosen_run(connection, run)
        given: dict[str, object] = {"policy": named_policy(connection, found, name).id}
        if put_aside:
            current = iterations.current_iteration(connection, found.id, "training")
            gate = iterations.waiting_gate(current, iterations.stages(connection, current.id)) if current else None
            if current is None or gate is None:
                raise DirectiveRefused(f"no iteration of run {found.name!r} is waiting at a gate; remove --put-aside")
            given |= {"put_aside": current.id, "stage": gate}
    return given


def chosen_run(connection: sqlite3.Connection, name: str | None) -> Run:
    """Return the run with a name; without a name the run of the current iteration, else the newest.

    Raises:
        DirectiveRefused: when there is none.
    """
    from store.errors import DirectiveRefused
    from store.runs import iterations
    from store.runs.runs import get_run, list_runs, run_named

    if name is not None:
        found = run_named(connection, name)
        if found is None:
            known = ", ".join(one.name for one in list_runs(connection)) or "none yet"
            raise DirectiveRefused(f"there is no run {name!r}; there are: {known}")
        return found
    current = iterations.current_iteration(connection)
    if current is not None:
        return get_run(connection, current.run_id)
    every = list_runs(connection)
    if not every:
        raise DirectiveRefused("there is no run yet; start one with: reflectevo run")
    return every[-1]


def named_policy(connection: sqlite3.Connection, run: Run, name: str) -> Policy:
    """Return the policy of a run with a name or id.

    Raises:
        DirectiveRefused: when the run has none.
    """
    from store.errors import DirectiveRefused
    from store.runs.policies import list_policies

    every = list_policies(connection, run.id)
    for policy in every:
        if name in (policy.name, str(policy.id)):
            return policy
    known = ", ".join(policy.name for policy in every) or "none yet"
    raise DirectiveRefused(f"run {run.name!r} has no policy {name!r}; it has: {known}")
