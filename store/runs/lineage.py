"""The lineage as a tree with the evaluations of each policy, and the trajectories of two policies' answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from store.evaluation.protocols import deciding_split, main_protocol, overall_evaluations
from store.records import Evaluation, Policy
from store.runs.policies import evaluations, list_policies, newest_evaluation
from store.runs.runs import get_run


@dataclass(frozen=True, slots=True)
class LineageNode:
    """A policy in the tree.

    `depth` is 0 for a root, `last` is true if no sibling follows; `branches` holds for each level above whether its
    line continues. `measured` is the newest evaluation over all tasks by protocol, `shown` the one that is comparable
    with those of other policies; if there is none, `shown` is the newest one and `apart` is true.
    """

    policy: Policy
    iteration: int | None
    depth: int
    last: bool
    branches: tuple[bool, ...]
    measured: Mapping[str, Evaluation]
    shown: Evaluation | None
    apart: bool


def lineage(connection: sqlite3.Connection, run_id: int) -> list[LineageNode]:
    """Return the policies of a run in tree order: children under their parent, oldest first."""
    found = list_policies(connection, run_id)
    known = {policy.id for policy in found}
    children: dict[int | None, list[Policy]] = {}
    for policy in found:
        children.setdefault(policy.parent_id if policy.parent_id in known else None, []).append(policy)
    measured: dict[int, dict[str, Evaluation]] = {}
    every = evaluations(connection, run_id)
    run = get_run(connection, run_id)
    main, split = main_protocol(run), deciding_split(run)
    other = "oracle" if main == "oracle-free" else "oracle-free"
    comparable = (
        overall_evaluations(every, main, split)
        or overall_evaluations(every, main)
        or overall_evaluations(every, other, split)
        or overall_evaluations(every, other)
    )
    alike = {one.policy_id: one for one in comparable}
    for one in every:
        if not one.task:
            measured.setdefault(one.policy_id, {})[one.protocol] = one
    numbers = {
        row[0]: row[1]
        for row in connection.execute("SELECT id, number FROM iterations WHERE run_id = ?", (run_id,)).fetchall()
    }
    nodes: list[LineageNode] = []

    def walk(siblings: Sequence[Policy], branches: tuple[bool, ...]) -> None:
        for place, policy in enumerate(siblings):
            last = place == len(siblings) - 1
            number = numbers.get(policy.iteration_id) if policy.iteration_id is not None else None
            own = measured.get(policy.id, {})
            shown = alike.get(policy.id) or newest_evaluation(list(own.values()), policy.id)
            apart = shown is not None and policy.id not in alike
            nodes.append(LineageNode(policy, number, len(branches), last, branches, own, shown, apart))
            walk(children.get(policy.id, ()), (*branches, not last))

    walk(children.get(None, ()), ())
    return nodes


def common_protocols(first: LineageNode, second: LineageNode) -> list[str]:
    """Return the protocols under which both policies were evaluated: first the one whose numbers the lineage shows for
    both, then the newest."""
    shared = first.measured.keys() & second.measured.keys()
    shown = {node.shown.protocol for node in (first, second) if node.shown is not None}
    return sorted(shared, key=lambda protocol: (shown != {protocol}, -second.measured[protocol].id))


def answer_trajectory(connection: sqlite3.Connection, policy_id: int, protocol: str, question_id: int) -> int | None:
    """Return the id of the trajectory in which a policy answered a held-out question; None when there is none."""
    row = connection.execute(
        "SELECT t.id FROM attempts a JOIN trajectories t ON t.attempt_id = a.id"
        " WHERE a.policy_id = ? AND a.protocol = ? AND a.question_id = ? AND a.turn = 1 AND a.protocol <> ''"
        " ORDER BY t.id DESC LIMIT 1",
        (policy_id, protocol, question_id),
    ).fetchone()
    return None if row is None else int(row[0])
