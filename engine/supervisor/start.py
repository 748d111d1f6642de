"""Starts runs, iterations and evaluations that a directive requests, or refuses with a message.

Each function runs inside the transaction that records the directive's outcome; none of them starts a process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import EngineError
from engine.prompts.instructions import check_draw
from engine.rollout.load_plan import pool_of
from engine.supervisor.lineage import current_policy
from store.records import Iteration, Policy
from store.runs import iterations
from store.runs.iterations import ACTIVE
from store.runs.policies import BASE_POLICY, find_policy, get_policy, list_policies
from store.runs.runs import add_run, get_run, run_named
from store.settings import RunSettings
from store.settings.run import changed_fixed
from store.settings.toml_file import validate_settings

_EVALUATED_BY = ("attempt", "reflection", "correction", "evaluation", "generation")
"""The sections that an evaluation takes from the given settings; all others are those of the run."""


class Refused(EngineError):
    """A directive can't be carried out; nothing was changed."""


def number(arguments: Mapping[str, Any], name: str) -> int:
    """Return an argument that must be a positive id; raises Refused otherwise."""
    value = arguments.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise Refused(f"the argument {name!r} must be an id, it is {value!r}")
    return value


def named_policy(connection: sqlite3.Connection, arguments: Mapping[str, Any], name: str = "policy") -> Policy:
    """Return the policy whose id is in an argument of the directive; raises Refused when there is none."""
    wanted = number(arguments, name)
    try:
        return get_policy(connection, wanted)
    except TypeError as error:
        raise Refused(f"there is no policy {wanted}") from error


def require_free(connection: sqlite3.Connection, leaving: Iteration | None = None) -> None:
    """Refuse while an iteration other than `leaving`, which ends with this directive, is active."""
    current = iterations.current_iteration(connection)
    if current is not None and current.state in ACTIVE and (leaving is None or current.id != leaving.id):
        run = get_run(connection, current.run_id)
        raise Refused(f"{current.title} of run {run.name!r} is {current.state}; let it finish, or stop it first")


def require_reasoner(policy: Policy) -> None:
    """Refuse a policy without the role of reasoner: it only reflects."""
    if "reasoner" not in policy.roles.split():
        raise Refused(f"policy {policy.name} only reflects; name one that answers questions")


def start_run(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    """Create a run and its first iteration; returns the outcome as a message.

    Raises:
        Refused, SettingsError: when it can't start.
    """
    settings = validate_settings(arguments.get("settings") or {})
    stored = settings.model_dump(mode="json")
    existing = run_named(connection, settings.name)
    if existing is not None:
        raise Refused(
            f"there is a run {settings.name!r} already; start its next iteration, or give this one another name"
        )
    if settings.reuse is not None:
        raise Refused("a new run has no earlier iteration to reuse texts from; remove [reuse]")
    _require_confirmed(settings, arguments)
    require_free(connection)
    run_id = add_run(connection, settings.name, settings.model, stored, str(arguments.get("base_directory") or ""))
    iterations.add_iteration(connection, run_id, None, stored, settings.iterations - 1)
    return f"run {settings.name!r} started"


@dataclass(frozen=True, slots=True)
class NextIteration:
    """An iteration that has passed all checks and is not stored yet. `remaining` is how many follow automatically."""

    run_id: int
    parent: Policy
    settings: RunSettings
    remaining: int

    def begin(self, connection: sqlite3.Connection) -> int:
        """Insert the iteration; returns its id."""
        stored = self.settings.model_dump(mode="json")
        return iterations.add_iteration(connection, self.run_id, self.parent.id, stored, self.remaining)


def next_iteration(
    connection: sqlite3.Connection, arguments: Mapping[str, Any], leaving: Iteration | None = None
) -> NextIteration:
    """Return the iteration that a directive requests, from the newest promoted policy or from the one named.

    Args:
        connection: a connection to the database.
        arguments: `run`, and `parent` and `settings` where they differ from those of the run.
        leaving: an iteration that ends with this directive. The next one replaces it: it has the same settings and the
            same number of following iterations, unless other settings are given.

    Raises:
        Refused, SettingsError: when it can't start.
    """
    run_id = number(arguments, "run")
    stored = _run_settings(connection, run_id)
    unfinished = [
        one
        for one in iterations.list_iterations(connection, run_id)
        if one.state != "done" and one.kind == "training" and (leaving is None or one.id != leaving.id)
    ]
    if unfinished:
        raise Refused(f"{unfinished[-1].title} is {unfinished[-1].state}; resume it, or reject it first")
    require_free(connection, leaving)
    wanted = arguments.get("settings")
    settings = (
        validate_settings(wanted) if wanted else RunSettings.model_validate(leaving.settings if leaving else stored)
    )
    require_same(RunSettings.model_validate(stored), settings)
    parent = named_policy(connection, arguments, "parent") if "parent" in arguments else None
    parent = parent or current_policy(connection, run_id)
    if parent is None or parent.run_id != run_id:
        raise Refused("the run has no policy to start from")
    require_reasoner(parent)
    require_drawable(connection, run_id, settings)
    require_reusable(connection, run_id, settings)
    follow = leaving.remaining if leaving is not None and not wanted else settings.iterations - 1
    return NextIteration(run_id, parent, settings, follow)


def start_iteration(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    """Start the next iteration of a run, from the newest promoted policy or from the one named.

    Returns:
        The outcome as a message.

    Raises:
        Refused, SettingsError: when it can't start.
    """
    wanted = next_iteration(connection, arguments)
    wanted.begin(connection)
    return f"next iteration started from policy {wanted.parent.name}"


def evaluate(connection: sqlite3.Connection, arguments: Mapping[str, Any]) -> str:
    """Start an evaluation of a policy outside a training iteration; a run that doesn't exist yet is created first.

    An argument `evaluation` replaces that section for this evaluation only.

    Returns:
        The outcome as a message.

    Raises:
        Refused, SettingsError: when it can't start.
    """
    wanted = validate_settings(arguments.get("settings") or {})
    measuring = _measuring(wanted, arguments.get("evaluation"))
    name = arguments.get("policy")
    run = run_named(connection, wanted.name)
    require_free(connection)
    if run is None:
        if name not in (None, BASE_POLICY):
            raise Refused(f"there is no run {wanted.name!r} yet, so it has no policy {name!r} to evaluate")
        _require_confirmed(wanted, arguments)
        stored = wanted.model_dump(mode="json")
        run_id = add_run(connection, wanted.name, wanted.model, stored, str(arguments.get("base_directory") or ""))
        iterations.add_iteration(connection, run_id, None, measuring.model_dump(mode="json"), 0, "evaluation")
        return f"run {wanted.name!r} will be prepared, then its policy {BASE_POLICY} evaluated"
    if run.origin != "engine":
        where = f"run {run.name!r} was not created in this workspace ({run.origin})"
        raise Refused(f"{where}; its policies have no weights to evaluate")
    old = RunSettings.model_validate(run.settings)
    require_same(old, wanted)
    sections = {section: getattr(measuring, section) for section in _EVALUATED_BY}
    measured = old.model_copy(update={**sections, "experiment": None})
    policy = current_policy(connection, run.id) if name is None else find_policy(connection, run.id, str(name))
    if policy is not None:
        require_reasoner(policy)
    elif run.state == "ready" or name not in (None, BASE_POLICY):
        known = ", ".join(one.name for one in list_policies(connection, run.id)) or "none yet"
        raise Refused(f"run {run.name!r} has no policy {name!r}; it has {known}")
    iterations.add_iteration(
        connection, run.id, policy.id if policy else None, measured.model_dump(mode="json"), 0, "evaluation"
    )
    return f"evaluation of policy {policy.name if policy else BASE_POLICY} of run {run.name!r} started"


def _measuring(wanted: RunSettings, section: object) -> RunSettings:
    """Return the settings of an evaluation, which has no experiment section."""
    values = wanted.model_dump(mode="json", exclude={"experiment"})
    return validate_settings(values if section is None else {**values, "evaluation": section})


def _run_settings(connection: sqlite3.Connection, run_id: int) -> Mapping[str, object]:
    """Return the settings of a run, which must exist and not be imported."""
    try:
        run = get_run(connection, run_id)
    except TypeError as error:
        raise Refused(f"there is no run {run_id}") from error
    if run.origin == "import":
        raise Refused(f"run {run.name!r} was imported and has no policy to continue from; give this run another name")
    return run.settings


def _require_confirmed(settings: RunSettings, arguments: Mapping[str, Any]) -> None:
    """Refuse to run a model's own code without the operator's confirmation: a settings file may come from anywhere."""
    confirmed = arguments.get("confirmed_code")
    missing = sorted(set(settings.trust_remote_code) - set(confirmed if isinstance(confirmed, list) else []))
    if missing:
        flags = " ".join(f"--trust-code {name}" for name in missing)
        raise Refused(
            f"the settings let {', '.join(missing)} run its own code on this machine, with your permissions. If you "
            f"have read that code and trust it: reflectevo run {flags}"
        )


def require_same(old: RunSettings, new: RunSettings) -> None:
    """Refuse to change settings that are fixed within a run because they define the experiment."""
    for name in changed_fixed(old, new):
        if name != "seed":
            raise Refused(f"{name!r} can't change within a run; start a new run under another name")
    if old.chooses_by != new.chooses_by:
        raise Refused(
            "'seed' can't change within a run, because it chose the questions; start a new run under another name, "
            "and set question_seed if its iterations should differ in their seed"
        )


def require_drawable(connection: sqlite3.Connection, run_id: int, settings: RunSettings) -> None:
    """Refuse instructions that are missing in the pool of a prepared run: they would fail the iteration later."""
    if get_run(connection, run_id).state != "ready":
        return
    try:
        check_draw(settings.reflection.instructions, pool_of(connection, run_id))
    except EngineError as error:
        raise Refused(str(error)) from error


def require_reusable(
    connection: sqlite3.Connection, run_id: int, settings: RunSettings, before: int | None = None
) -> None:
    """Refuse to reuse texts of an iteration that the run doesn't have, or that isn't earlier than `before`."""
    wanted = settings.reuse.iteration if settings.reuse else None
    if wanted is None:
        return
    if iterations.find_iteration(connection, run_id, wanted) is None or (before is not None and wanted >= before):
        raise Refused(f"reuse.iteration is {wanted}, and the run has no such earlier iteration")
