"""The stored results of the controls of a policy: shares of the arms, differences and sentences, as JSON values.

The engine computes them once, when the last text is stored; screens, reports and commands print what is stored here.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from store.database.rows import dump_json, load_json
from store.records import FirstAnswers

MEASUREMENT = "measurement"
"""Key of the results under which the corrections of each question are stored, for analyses of several policies."""


@dataclass(frozen=True, slots=True)
class ControlResults:
    """Results of the controls of one policy. `request` holds the settings that they were measured with."""

    policy_id: int
    policy: str
    protocol: str
    first_answers: FirstAnswers
    iteration_id: int
    request: Mapping[str, Any]
    results: Mapping[str, Any]
    created: float

    def as_json(self) -> dict[str, Any]:
        """Return protocol, request and results as JSON values for scripts, without the corrections of each question."""
        shown = {key: value for key, value in self.results.items() if key != MEASUREMENT}
        return {"protocol": self.protocol, "request": self.request, **shown}


def put_control_results(
    connection: sqlite3.Connection,
    *,
    policy_id: int,
    protocol: str,
    first_answers: FirstAnswers,
    iteration_id: int,
    request: Mapping[str, Any],
    results: Mapping[str, Any],
) -> None:
    """Store the results of the controls of a policy; newer ones replace older ones."""
    connection.execute(
        "INSERT OR REPLACE INTO control_results (policy_id, protocol, first_answers, iteration_id, request, results,"
        " created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (policy_id, protocol, first_answers, iteration_id, dump_json(request), dump_json(results), time.time()),
    )


def control_results(connection: sqlite3.Connection, run_id: int) -> list[ControlResults]:
    """Return the results of the controls of a run's policies, oldest first."""
    rows = connection.execute(
        f"{_SELECT} WHERE p.run_id = ? ORDER BY c.created, c.policy_id, c.protocol, c.first_answers", (run_id,)
    ).fetchall()
    return [_result(row) for row in rows if _is_whole(load_json(row["results"]))]


def newest_control_results(connection: sqlite3.Connection, policy_id: int) -> ControlResults | None:
    """Return the newest results of the controls of a policy; None if they were not measured."""
    rows = connection.execute(f"{_SELECT} WHERE c.policy_id = ? ORDER BY c.created DESC", (policy_id,)).fetchall()
    return next((_result(row) for row in rows if _is_whole(load_json(row["results"]))), None)


_SELECT = "SELECT c.*, p.name AS policy FROM control_results c JOIN policies p ON p.id = c.policy_id"


def _is_whole(results: object) -> bool:
    """Check whether stored results are as the engine stores them; damaged ones count as not measured."""
    return (
        isinstance(results, Mapping)
        and isinstance(results.get("analysis"), Mapping)
        and isinstance(results.get("wrong"), int)
        and isinstance(results.get("split"), str)
    )


def _result(row: sqlite3.Row) -> ControlResults:
    return ControlResults(
        row["policy_id"],
        row["policy"],
        row["protocol"],
        row["first_answers"],
        row["iteration_id"],
        request if isinstance(request := load_json(row["request"]), Mapping) else {},
        load_json(row["results"]),
        row["created"],
    )


def has_control_results(
    connection: sqlite3.Connection,
    policy_id: int,
    protocol: str,
    first_answers: FirstAnswers,
    request: Mapping[str, Any],
) -> bool:
    """Check whether the controls of a policy were measured as requested."""
    row = connection.execute(
        "SELECT request, results FROM control_results WHERE policy_id = ? AND protocol = ? AND first_answers = ?",
        (policy_id, protocol, first_answers),
    ).fetchone()
    return row is not None and row["request"] == dump_json(request) and _is_whole(load_json(row["results"]))
