"""Applies directives: each one changes the desired state in the transaction that records its outcome.

The supervisor then brings the processes in line with the desired state, so a crash between the two neither applies a
directive twice nor loses one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.supervisor.lineage import close_iteration, give_up_iteration
from engine.supervisor.rollback import branch, rollback
from engine.supervisor.settings_at_resume import take_settings
from engine.supervisor.skip_stage import skip_stage
from engine.supervisor.start import (
    Refused,
    evaluate,
    named_policy,
    number,
    require_drawable,
    require_free,
    require_reusable,
    require_same,
    start_iteration,
    start_run,
)
from store.control.directives import COMMANDS, finish
from store.control.telemetry import add_event
from store.curation.curated import decisions_since
from store.curation.training_settings import TRAINING_SETTINGS
from store.errors import SettingsError
from store.evaluation.number_format import counted
from store.records import (
    Directive,
    DirectiveKind,
    EventLevel,
    GateName,
    Iteration,
    IterationKind,
    Policy,
    PolicyState,
    Stage,
)
from store.rollouts.attempts import forget_failures
from store.runs import iterations
from store.runs.iterations import ACTIVE
from store.runs.policies import decide_policy, get_policy
from store.runs.runs import get_run
from store.runs.stages import STAGE_OF_SECTION, closing_stage, open_settings
from store.settings import RunSettings
from store.settings.run import merged
from store.settings.toml_file import validate_settings


def apply_directive(connection: sqlite3.Connection, directive: Directive) -> bool:
    """Apply a directive and record its outcome.

    Args:
        connection: inside a write transaction.
        directive: a pending directive.

    Returns:
        True when it was accepted. A refusal changes nothing but the directive's outcome.
    """
    handler = _HANDLERS.get(directive.kind)
    try:
        if handler is None:
            raise Refused(f"the engine does not know the directive {directive.kind!r}")
        if not isinstance(directive.arguments, Mapping):
            raise Refused("the arguments must be an object")
        arguments = {**directive.arguments, "issued_by": directive.issued_by}
        outcome, accepted = handler(connection, arguments), True
    except (Refused, SettingsError) as refusal:
        outcome, accepted = str(refusal), False
    finish(connection, directive.id, accepted, outcome)
    level: EventLevel = "info" if accepted else "warning"
    command = COMMANDS.get(directive.kind, directive.kind)
    add_event(connection, level, "directive", f"{directive.issued_by}: {command} – {outcome}")
    return accepted


def _iteration(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> Iteration:
    """Return the iteration that a directive applies to: the one it names, else the current one."""
    if "iteration" in arguments:
        wanted = number(arguments, "iteration")
        found = next((one for one in iterations.list_iterations(connection) if one.id == wanted), None)
    else:
        found = iterations.current_iteration(connection)
    if found is None:
        raise Refused("there is no such iteration; start one with: reflectevo run")
    return found


def _pause(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    iteration = _iteration(connection, arguments)
    if iteration.state not in ACTIVE:
        raise Refused(f"{iteration.title} is {iteration.state}, there is nothing to pause")
    iterations.update_iteration(connection, iteration.id, control="pause", state="paused")
    return f"{iteration.title} paused"


def _resume(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    iteration = _iteration(connection, arguments)
    if iteration.state == "done":
        raise Refused(f"{iteration.title} is done; start the next one")
    if iteration.state not in ACTIVE:
        require_free(connection)
    if any(
        stage.name == "train" and stage.state == "failed" and not stage.done
        for stage in iterations.stages(connection, iteration.id)
    ):
        _curate_again(connection, iteration)
    taken = _taken_settings(connection, iteration, arguments)
    _reset_failed_stages(connection, iteration)
    iterations.update_iteration(connection, iteration.id, control="run", state="running", reason="")
    return f"{iteration.title} resumed{taken}"


def _taken_settings(connection: sqlite3.Connection, iteration: Iteration, arguments: Mapping[str, Any]) -> str:
    """Take the settings of the file that a directive brings along, into an iteration that failed or stopped.

    Settings of another run are not taken. Returns what was taken as the end of a message.
    """
    given = arguments.get("settings")
    if not isinstance(given, Mapping) or iteration.state not in ("failed", "stopped"):
        return ""
    wanted = validate_settings(given)
    if wanted.name != get_run(connection, iteration.run_id).name:
        return ""
    words = take_settings(connection, iteration, wanted)
    return f"; {words}" if words else ""


def _stop(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    iteration = _iteration(connection, arguments)
    if iteration.state in ("done", "stopped"):
        raise Refused(f"{iteration.title} is {iteration.state} already")
    iterations.update_iteration(connection, iteration.id, control="stop")
    return f"{iteration.title} is stopping once running work is saved; resume continues it"


def _waiting(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> tuple[Iteration, GateName]:
    """Return the iteration that a directive applies to and its waiting gate, which must be the one named, if any."""
    iteration = _iteration(connection, arguments)
    gate = iterations.waiting_gate(iteration, iterations.stages(connection, iteration.id))
    wanted = arguments.get("stage") or gate
    if gate is None or wanted != gate:
        raise Refused(f"{iteration.title} does not wait at a gate{f' {wanted!r}' if wanted else ''}")
    return iteration, gate


def _skip(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    iteration, gate = _waiting(connection, arguments)
    if gate == "promote":
        raise Refused("the promote gate can't be skipped; approve or reject the child")
    return skip_stage(connection, iteration, gate, str(arguments["issued_by"]))


def _approve(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    iteration, gate = _waiting(connection, arguments)
    if gate == "promote":
        return _set_child_state(connection, iteration, "promoted", f"promoted by {arguments['issued_by']}")
    iterations.approve_stage(connection, iteration.id, gate)
    iterations.set_stage(connection, iteration.id, gate, "pending")
    iterations.update_iteration(connection, iteration.id, state="running", reason="")
    decisions = _curate_again(connection, iteration) if gate == "train" else 0
    if not decisions:
        return f"stage {gate} approved"
    return f"stage {gate} approved; curation first applies {counted(decisions, 'new decision')}"


def _curate_again(connection: sqlite3.Connection, iteration: Iteration) -> int:
    """Reset curation to pending when reviews or preferences are newer than it; returns the number of newer ones.

    Only called before training has begun: its data must not change while it runs.
    """
    curate = next(stage for stage in iterations.stages(connection, iteration.id) if stage.name == "curate")
    if curate.state != "done" or curate.ended is None:
        return 0
    decisions = decisions_since(connection, iteration.id, curate.ended)
    if decisions:
        iterations.set_stage(connection, iteration.id, "curate", "pending")
    return decisions


def _reject(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    if "policy" in arguments:
        return _reject_policy(connection, named_policy(connection, arguments), f"rejected by {arguments['issued_by']}")
    iteration = _iteration(connection, arguments)
    gate = iterations.waiting_gate(iteration, iterations.stages(connection, iteration.id))
    if gate == "promote":
        return _set_child_state(connection, iteration, "rejected", f"rejected by {arguments['issued_by']}")
    if iteration.state in ("stopped", "failed"):
        give_up_iteration(connection, iteration, f"abandoned by {arguments['issued_by']}")
        return f"{iteration.title} is abandoned; the next one can start"
    raise Refused(
        "only a child policy that waits for promotion, or an iteration that is stopped or failed, can be rejected; "
        f"{iteration.title} is {iteration.state}, stop it first"
    )


def _reject_policy(connection: sqlite3.Connection, policy: Policy, why: str) -> str:
    """Reject a policy of the lineage; if its iteration waits for a decision on it, the iteration ends too."""
    if policy.iteration_id is None:
        raise Refused(f"policy {policy.name} is the run's base policy and can't be rejected; roll back to another one")
    iteration = iterations.get_iteration(connection, policy.iteration_id)
    if iteration.child_id == policy.id and iteration.state == "waiting":
        return _set_child_state(connection, iteration, "rejected", why)
    decide_policy(connection, policy.id, "rejected", why)
    return f"policy {policy.name} rejected"


def _set_child_state(connection: sqlite3.Connection, iteration: Iteration, state: PolicyState, why: str) -> str:
    if iteration.child_id is None:
        raise Refused(f"{iteration.title} has no child policy")
    reason = f"{why}; {iteration.reason}" if iteration.reason else why
    close_iteration(connection, iteration, state, reason)
    return f"policy {get_policy(connection, iteration.child_id).name} {state}"


def _promote(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    policy = named_policy(connection, arguments)
    why = f"promoted by {arguments['issued_by']}"
    iteration = iterations.current_iteration(connection, policy.run_id)
    if iteration is not None and iteration.child_id == policy.id and iteration.state == "waiting":
        return _set_child_state(connection, iteration, "promoted", why)
    decide_policy(connection, policy.id, "promoted", why)
    return f"policy {policy.name} promoted"


def _reset_failed_stages(connection: sqlite3.Connection, iteration: Iteration) -> None:
    for stage in iterations.stages(connection, iteration.id):
        if stage.state == "failed":
            iterations.set_stage(connection, iteration.id, stage.name, "pending")


def _retry_failed(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    iteration = _iteration(connection, arguments)
    stages = iterations.stages(connection, iteration.id)
    if iteration.state == "done":
        raise Refused(f"{iteration.title} is done; start the next one")
    for stage in stages:
        if stage.state == "running":
            raise Refused(f"stage {stage.name} is running; let it end, or stop the iteration, then retry")
    if iteration.state not in ACTIVE:
        require_free(connection)
    _reset_failed_stages(connection, iteration)
    taken = _taken_settings(connection, iteration, arguments)
    # A trained child depends on the rollouts as they are; only its evaluation may still change.
    trained = iteration.child_id is not None
    forgotten = forget_failures(connection, iteration.id, held_out_only=trained)
    if forgotten:
        for stage in stages:
            if stage.state != "skipped" and (not trained or stage.name == "evaluate"):
                iterations.set_stage(connection, iteration.id, stage.name, "pending")
    iterations.update_iteration(connection, iteration.id, control="run", state="running", reason="")
    return f"{iteration.title} resumed; {counted(forgotten, 'failed sample')} to retry{taken}"


def _set_settings(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    iteration = _iteration(connection, arguments)
    changes = arguments.get("settings")
    if not isinstance(changes, Mapping) or not changes:
        raise Refused("set_settings needs the settings to change")
    old = RunSettings.model_validate(iteration.settings)
    new = validate_settings(merged(old.model_dump(mode="json"), changes))
    require_same(old, new)
    require_drawable(connection, iteration.run_id, new)
    if old.reuse != new.reuse:
        require_reusable(connection, iteration.run_id, new, before=iteration.number)
    stages = iterations.stages(connection, iteration.id)
    _require_open(old, new, stages, iteration.kind)
    curating = next((stage.state for stage in stages if stage.name == "curate"), None)
    iterations.update_iteration(connection, iteration.id, settings=new.model_dump(mode="json"))
    changed = (old.training.setting, old.judge) != (new.training.setting, new.judge)
    judged_anew = changed and TRAINING_SETTINGS[new.training.setting].judged
    if judged_anew and curating == "done":
        iterations.set_stage(connection, iteration.id, "curate", "pending")
    return f"settings of {iteration.title} changed: {', '.join(_dotted(changes))}"


def _require_open(old: RunSettings, new: RunSettings, stages: Sequence[Stage], kind: IterationKind) -> None:
    """Refuse a change to settings that a stage has already used, or that no remaining stage reads."""
    still_open = open_settings(stages, kind)
    for name in RunSettings.model_fields:
        if name in still_open or getattr(old, name) == getattr(new, name):
            continue
        if name not in STAGE_OF_SECTION:
            raise Refused(f"{name!r} can't change within an iteration")
        closing = closing_stage(name, stages, kind)
        if closing is not None and closing.name == "curate" and name == "judge":
            raise Refused("[judge] can't change while stage curate runs; stop the iteration, change it, then resume")
        raise Refused(f"[{name}] can't change any more: stage {closing.name if closing else ''} has begun")


def _save_now(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    iteration = _iteration(connection, arguments)
    training = next(stage for stage in iterations.stages(connection, iteration.id) if stage.name == "train")
    if training.state != "running":
        raise Refused("no training is running; everything else is on disk already")
    return "a checkpoint will be saved at the next optimizer step"


def _shut_down(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    return "the engine is shutting down once running work is saved"


_HANDLERS: dict[DirectiveKind, Callable[[sqlite3.Connection, Mapping[str, Any]], str]] = {
    "start_run": start_run,
    "start_iteration": start_iteration,
    "run_stage": _approve,
    "pause": _pause,
    "resume": _resume,
    "save_now": _save_now,
    "stop": _stop,
    "approve": _approve,
    "skip": _skip,
    "reject": _reject,
    "promote": _promote,
    "rollback": rollback,
    "branch": branch,
    "evaluate": evaluate,
    "retry_failed": _retry_failed,
    "set_settings": _set_settings,
    "shut_down": _shut_down,
}


def _dotted(changes: Mapping[str, object], section: str = "") -> list[str]:
    """Return changed settings as `section.name = value`, as they are written in the documentation."""
    found = []
    for name, value in changes.items():
        key = f"{section}{name}"
        if isinstance(value, Mapping):
            found += _dotted(value, f"{key}.")
        else:
            found.append(f"{key} is unset" if value is None else f"{key} = {json.dumps(value, ensure_ascii=False)}")
    return found
