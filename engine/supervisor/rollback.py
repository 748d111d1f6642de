"""Continues a run from another policy: rolls back to an earlier one, or branches from any.

An iteration of the run that waits at a gate can be ended for that. Its results stay available for reading, search,
export and reuse by a later iteration (`[reuse]`); its remaining stages are skipped. This can't be undone, so the
directive must name the iteration (`put_aside`) that the operator saw waiting. Everything is checked before anything is
changed: after a refusal the gate is as before.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.supervisor.lineage import start_following
from engine.supervisor.start import Refused, named_policy, next_iteration, number, require_reasoner
from store.control.telemetry import add_event
from store.records import DirectiveKind, GateName, Iteration, Policy
from store.runs import iterations
from store.runs.policies import REFLECTOR_POLICY, decide_policy, list_policies


@dataclass(frozen=True, slots=True)
class Waiting:
    """An iteration and the gate it waits at: a stage's name, or `promote`."""

    iteration: Iteration
    gate: GateName


def rollback(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    """Promote an earlier policy again and revoke later promotions; the next iteration starts from it.

    If an iteration is ended for this, its child, if any, is rejected too.

    Returns:
        The outcome as a message.

    Raises:
        Refused: the policy can't answer questions, or an iteration waits at its gate and is not named in `put_aside`.
    """
    policy = named_policy(connection, arguments)
    require_reasoner(policy)
    leaving = _leaving(connection, policy, arguments, "rollback")
    child = leaving.iteration.child_id if leaving else None
    if leaving is not None and child == policy.id:
        raise Refused(
            f"{leaving.iteration.title} is still waiting for your decision on {policy.name}; "
            "approve it, or branch from it"
        )
    undone = [
        one
        for one in list_policies(connection, policy.run_id)
        if one.name != REFLECTOR_POLICY
        and ((one.id > policy.id and one.state == "promoted") or (one.id == child and one.state == "candidate"))
    ]
    for later in undone:
        decide_policy(connection, later.id, "rejected", f"rolled back to {policy.name}")
    decide_policy(connection, policy.id, "promoted", f"rolled back to {policy.name}")
    outcome = (
        f"the next iteration starts from {policy.name}; rejected: {', '.join(one.name for one in undone) or 'none'}"
    )
    if leaving is None:
        return outcome
    _end_iteration(connection, leaving, str(arguments["issued_by"]), f"rolled back to {policy.name}")
    start_following(connection, leaving.iteration)
    return f"{leaving.iteration.title} ended at gate {leaving.gate}; {outcome}"


def branch(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    """Start the next iteration from the given policy.

    If an iteration is ended for this, the new one replaces it; the child of the ended one remains a candidate.

    Returns:
        The outcome as a message.

    Raises:
        Refused, SettingsError: the iteration can't start, or one waits at its gate and is not named in `put_aside`.
    """
    policy = named_policy(connection, arguments)
    leaving = _leaving(connection, policy, arguments, "branch")
    asked = {**arguments, "run": policy.run_id, "parent": policy.id}
    wanted = next_iteration(connection, asked, leaving.iteration if leaving else None)
    if leaving is not None:
        _end_iteration(connection, leaving, str(arguments["issued_by"]), f"branched from {policy.name}")
    wanted.begin(connection)
    outcome = f"next iteration started from policy {policy.name}"
    return f"{leaving.iteration.title} ended at gate {leaving.gate}; {outcome}" if leaving else outcome


def _leaving(
    connection: sqlite3.Connection, policy: Policy, arguments: Mapping[str, Any], verb: DirectiveKind
) -> Waiting | None:
    """Return the iteration that this directive ends; None when no iteration of the run waits at a gate."""
    current = iterations.current_iteration(connection, policy.run_id, "training")
    gate = iterations.waiting_gate(current, iterations.stages(connection, current.id)) if current else None
    if "put_aside" not in arguments:
        if current is None or gate is None:
            return None
        raise Refused(
            f"{current.title} is waiting at gate {gate}; approve or {'reject' if gate == 'promote' else 'skip'} it, or "
            "end it there (it can't be resumed, its data stays available). In the terminal: g, then "
            f"{'Z' if verb == 'rollback' else 'B'}; in the shell: reflectevo {verb} {policy.name} --put-aside"
        )
    wanted, stage = number(arguments, "put_aside"), arguments.get("stage")
    if current is None or gate is None or current.id != wanted or stage not in (None, gate):
        at = f" {stage!r}" if stage else ""
        raise Refused(f"the iteration to end is no longer waiting at its gate{at}; nothing was changed")
    return Waiting(current, gate)


def _end_iteration(connection: sqlite3.Connection, leaving: Waiting, by: str, what: str) -> None:
    """End an iteration at its gate and mark its remaining stages as skipped."""
    iteration = leaving.iteration
    for stage in iterations.stages(connection, iteration.id):
        if stage.state not in ("done", "skipped"):
            iterations.set_stage(connection, iteration.id, stage.name, "skipped")
            iterations.set_note(connection, iteration.id, stage.name, f"ended by {by}")
    reason = f"ended at gate {leaving.gate} by {by}, who {what}"
    iterations.update_iteration(connection, iteration.id, state="done", control="run", reason=reason, ended=time.time())
    add_event(connection, "warning", "engine", f"{iteration.title} {reason}", iteration.id)
