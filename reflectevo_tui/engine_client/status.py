"""Status of a workspace, as plain values for scripts and as text for people. Read-only."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict
from typing import Any

from store.control.liveness import engine_state
from store.control.telemetry import events
from store.curation.reflection_measures import measures_words, reflection_measures
from store.database.connection import reading
from store.evaluation.floors import FLOOR, floor_and_position
from store.evaluation.gains import stored_gain
from store.evaluation.held_out_answers import is_oracle
from store.evaluation.number_format import interval
from store.evaluation.protocols import deciding_split, main_protocol, overall_evaluations
from store.evaluation.transfer import TRANSFER, transfer_tasks
from store.records import Evaluation, GateName, Iteration, Policy, Stage
from store.rollouts.control_results import newest_control_results
from store.runs import iterations
from store.runs.policies import evaluations, list_policies, newest_evaluation
from store.runs.progress import iteration_counts
from store.runs.runs import get_run
from store.workspace import Workspace


def collect_status(workspace: Workspace) -> dict[str, Any]:
    """Return the values that `reflectevo status --json` prints.

    Raises:
        WorkspaceNotFound: when there is no workspace.
        NotOurDatabase: when its database can't be read.
    """
    with reading(workspace.require().database) as connection:
        return _collect(connection, workspace)


def _collect(connection: sqlite3.Connection, workspace: Workspace) -> dict[str, Any]:
    engine = engine_state(connection, workspace.lock_file)
    status: dict[str, Any] = {
        "workspace": str(workspace.root),
        "engine": {
            "state": engine.state,
            "pid": engine.pid,
            "silent_for": engine.silent_for,
            "trouble": engine.trouble,
        },
        "run": None,
        "iteration": None,
        "events": [
            {"time": event.created, "level": event.level, "source": event.source, "text": event.text}
            for event in events(connection, limit=5)
        ],
    }
    iteration = iterations.current_iteration(connection)
    if iteration is None:
        return status
    run = get_run(connection, iteration.run_id)
    status["run"] = {
        "id": run.id,
        "name": run.name,
        "base_model": run.base_model,
        "state": run.state,
        "error": run.error,
    }
    status["iteration"] = _iteration(connection, workspace, iteration)
    return status


def training_status(workspace: Workspace) -> dict[str, Any] | None:
    """Return the values of the newest training iteration of the current run, as in `collect_status`; None without one.

    Raises:
        WorkspaceNotFound, NotOurDatabase: as `collect_status`.
    """
    with reading(workspace.require().database) as connection:
        current = iterations.current_iteration(connection)
        found = iterations.current_iteration(connection, current.run_id, "training") if current else None
        return None if found is None else _iteration(connection, workspace, found)


def _iteration(connection: sqlite3.Connection, workspace: Workspace, iteration: Iteration) -> dict[str, Any]:
    stages = iterations.stages(connection, iteration.id)
    policies = {policy.id: policy for policy in list_policies(connection, iteration.run_id)}
    # The same policy may be measured on both splits; an iteration shows the one that it decides on or measures.
    split = deciding_split(iteration)
    every = evaluations(connection, iteration.run_id)
    measured = [one for one in every if one.split == split]
    transfer = [one for one in every if one.task == TRANSFER or one.task in transfer_tasks(iteration.settings)]
    return {
        "id": iteration.id,
        "number": iteration.number,
        "kind": iteration.kind,
        "title": iteration.title,
        "state": iteration.state,
        "complete": iteration.state == "done" and _all_done(iteration, stages),
        "gate": iterations.waiting_gate(iteration, stages),
        "reason": iteration.reason,
        "split": split,
        "stages": [
            {
                "name": stage.name,
                "state": stage.state,
                "done": stage.done,
                "total": stage.total,
                "owed": stage.owed,
                "note": stage.note,
                "error": stage.error,
                "seconds": _seconds(stage.started, stage.ended),
            }
            for stage in stages
        ],
        "parent": _policy(workspace, policies.get(iteration.parent_id or 0), measured, transfer),
        "child": _policy(workspace, policies.get(iteration.child_id or 0), measured, transfer),
        "gain": _gain(connection, iteration, policies, measured),
        "counts": iteration_counts(connection, iteration.id),
        "reported": _reported(connection, iteration, policies),
        "controls": controls_of(connection, iteration),
        "reflections": _reflections(connection, iteration),
    }


def _reflections(connection: sqlite3.Connection, iteration: Iteration) -> dict[str, Any] | None:
    """Return the measures of a training iteration's reflections; None before its curation."""
    found = None
    if iteration.kind == "training":
        found = reflection_measures(connection, iteration.run_id).get(iteration.number)
    return None if found is None else {**asdict(found), "words": measures_words(found)}


def _gain(
    connection: sqlite3.Connection, iteration: Iteration, policies: dict[int, Policy], measured: list[Evaluation]
) -> dict[str, str] | None:
    """Return the statement on a gain of the child, or of the policy of an evaluation; None before it is measured.

    It takes a bootstrap, so that it isn't computed while work runs, when the status is read twice a second.
    """
    if iteration.state == "running":
        return None
    # An evaluation measures one policy, or two: then the second is compared with the first.
    later = iteration.child_id or (iteration.parent_id if iteration.kind == "evaluation" else None)
    after = newest_evaluation(measured, later or 0)
    if after is None:
        return None
    before = None
    if iteration.child_id is not None and iteration.parent_id is not None:
        before = next((one for one in measured if one.policy_id == iteration.parent_id and _alike(one, after)), None)
        if before is None:
            return None
    gain = stored_gain(
        connection,
        None if before is None else (policies[before.policy_id].name, before),
        (policies[after.policy_id].name, after),
    )
    return {"verdict": gain.verdict, "sentence": gain.sentence}


def _reported(
    connection: sqlite3.Connection, iteration: Iteration, policies: dict[int, Policy]
) -> dict[str, dict[str, Any]]:
    """Return the policies of the run on the test questions by name; empty if promotion is decided on these."""
    run = get_run(connection, iteration.run_id)
    if deciding_split(run) == "test":
        return {}
    found = overall_evaluations(evaluations(connection, run.id), main_protocol(run), "test")
    return {
        policies[one.policy_id].name: {
            "protocol": one.protocol,
            **{name: one.metrics.get(name) for name in ("acc_t1", "acc_t2", "acc_retry")},
            "floor_t2": one.metrics.get(FLOOR),
        }
        for one in found
    }


def _alike(one: Evaluation, other: Evaluation) -> bool:
    return one.task == other.task and one.protocol == other.protocol


def controls_of(connection: sqlite3.Connection, iteration: Iteration) -> dict[str, Any]:
    """Return the newest results of the controls of parent and child by the name of the policy, as JSON values."""
    found = {}
    for policy_id in (iteration.parent_id, iteration.child_id):
        one = None if policy_id is None else newest_control_results(connection, policy_id)
        if one is not None:
            found[one.policy] = one.as_json()
    return found


def _all_done(iteration: Iteration, stages: list[Stage]) -> bool:
    """Check whether every stage completed; an evaluation has a single stage."""
    needed = [stage for stage in stages if iteration.kind == "training" or stage.name == "evaluate"]
    return all(stage.state == "done" for stage in needed)


def _seconds(started: float | None, ended: float | None) -> float | None:
    return None if started is None or ended is None else round(ended - started, 1)


def _policy(
    workspace: Workspace, policy: Policy | None, measured: list[Evaluation], transfer: list[Evaluation]
) -> dict[str, Any] | None:
    if policy is None:
        return None
    newest = newest_evaluation(measured, policy.id)
    metrics = newest.metrics if newest else {}
    return {
        "id": policy.id,
        "name": policy.name,
        "state": policy.state,
        "reason": policy.reason,
        "setting": policy.setting,
        "path": str(workspace.root / policy.path),
        "acc_t1": metrics.get("acc_t1"),
        "acc_t2": metrics.get("acc_t2"),
        "acc_retry": metrics.get("acc_retry"),
        "floor_t2": metrics.get(FLOOR),
        "protocol": newest.protocol if newest else None,
        "transfer": _transfer(policy.id, transfer),
    }


def _transfer(policy_id: int, found: list[Evaluation]) -> dict[str, Any] | None:
    """Return the newest results of a policy on transfer tasks by task, all of them first; None without any."""
    mine = [one for one in found if one.policy_id == policy_id]
    together = [one.protocol for one in mine if one.task == TRANSFER]
    if not together:
        return None
    chosen = next((one for one in reversed(together) if is_oracle(one)), together[-1])
    names = ("acc_t1", "acc_t2", "acc_retry", FLOOR)
    shown = sorted((one for one in mine if one.protocol == chosen), key=lambda one: (one.task != TRANSFER, one.task))
    return {
        "protocol": chosen,
        "tasks": {one.task: {"n": one.n, **{name: one.metrics.get(name) for name in names}} for one in shown},
    }


def transfer_line(policy: dict[str, Any]) -> list[str]:
    """Return the line on a policy's results on transfer tasks; none where there are none."""
    if not policy["transfer"]:
        return []
    found = policy["transfer"]["tasks"][TRANSFER]
    words = f"{TRANSFER} Acc@t1 {share(found['acc_t1'])} · Acc@t2 {share(found['acc_t2'])}"
    if is_oracle(policy["transfer"]["protocol"]):
        words += f" · {floor_and_position(found['acc_t2'], found[FLOOR])} · own retry {share(found['acc_retry'])}"
    return [words]


def share(metric: dict[str, float | None] | None) -> str:
    """Format a stored share in percent with its interval."""
    found = metric or {}
    return interval(found.get("value"), found.get("low"), found.get("high"), missing="not measured")


def gate_commands(gate: GateName, command: str) -> list[str]:
    """Return the commands with which an operator decides at a gate, each with what it does.

    Args:
        gate: the gate that waits.
        command: how the program is called, e.g. with its workspace.
    """
    if gate != "promote":
        return [f"{command} approve {gate}"]
    return [f"{command} approve promote   (promotes the child)", f"{command} reject   (keeps the parent)"]


def beside_acc_t2(policy: dict[str, Any]) -> list[str]:
    """Return the line on the floor of a policy's Acc@t2 and its own retry; none without an oracle or Acc@t2."""
    if not policy["acc_t2"] or not is_oracle(policy["protocol"]):
        return []
    floor = floor_and_position(policy["acc_t2"], policy["floor_t2"])
    return [f"{floor} · own retry without a reflection {share(policy['acc_retry'])}"]


_GLYPHS = {"done": "✓", "running": "●", "waiting": "◆", "failed": "✗", "skipped": "–", "pending": "○"}


def describe_status(status: dict[str, Any]) -> str:
    """Format the status as a few lines of plain text."""
    engine = status["engine"]
    lines = [f"workspace  {status['workspace']}", f"engine     {_engine_words(engine)}"]
    iteration = status["iteration"]
    if iteration is None:
        lines.append("run        none yet; start one with: reflectevo run")
        return "\n".join(lines)
    run = status["run"]
    lines.append(f"run        {run['name']} · {run['base_model']}")
    state = f"{iteration['state']} at gate {iteration['gate']}" if iteration["gate"] else iteration["state"]
    lines.append(f"{iteration['kind'].replace('training', 'iteration'):<10} {iteration['number']} · {state}")
    for stage in iteration["stages"]:
        if stage["state"] == "skipped" and iteration["kind"] == "evaluation":
            continue
        counts = f"{stage['done']:,} / {stage['total']:,}" if stage["total"] else ""
        lines.append(
            f"  {_GLYPHS[stage['state']]} {stage['name']:<9} {stage['state']:<8} {counts:>17}  {stage['note']}".rstrip()
        )
        if stage["error"]:
            lines.append(f"    {stage['error']}")
    for role in ("parent", "child"):
        policy = iteration[role]
        if policy:
            lines.append(
                f"{role:<10} {policy['name']} · {policy['state']} · Acc@t1 {share(policy['acc_t1'])} · "
                f"Acc@t2 {share(policy['acc_t2'])}"
            )
            lines += [f"{'':<10} {words}" for words in (*beside_acc_t2(policy), *transfer_line(policy))]
    if iteration["reflections"]:
        lines.append(f"curation   reflections · {iteration['reflections']['words']}")
    if iteration["gain"]:
        lines.append(f"gain       {iteration['gain']['sentence']}")
    for name, reported in iteration["reported"].items():
        lines.append(
            f"test       {name} · Acc@t1 {share(reported['acc_t1'])} · Acc@t2 {share(reported['acc_t2'])} "
            "(nothing is decided on these)"
        )
        lines += [f"{'':<10} {words}" for words in beside_acc_t2(reported)]
    for name, controls in iteration["controls"].items():
        lines.append(f"controls   {name} · {controls['analysis']['sentence']}")
    if iteration["reason"]:
        lines.append(f"           {iteration['reason']}")
    if iteration["gate"]:
        lines += [f"continue   {words}" for words in gate_commands(iteration["gate"], "reflectevo")]
    return "\n".join(lines)


def _engine_words(engine: dict[str, Any]) -> str:
    if engine["state"] == "stopped":
        return "stopped (reflectevo run starts it)"
    if engine["state"] == "stale":
        silent = engine["silent_for"]
        why = engine["trouble"] or "see: reflectevo takeover"
        return f"not responding{'' if silent is None else f' for {silent:.0f} s'} (pid {engine['pid']}); {why}"
    held = f"; held: {engine['trouble']}" if engine["trouble"] else ""
    return f"running (pid {engine['pid']}){held}"
