"""Attempts that are not trained on as answers to their question, each with its reason, as the last curation found.

The rule is the engine's (`engine.curation.unfit_answers.unfit_answer`). Its results are stored, so that training, the
count at its gate, exports and the Datasets screen leave out the same attempts without computing it again. They are rows
of `metrics` under a stage name of their own: the name is the reason, the step the id of the attempt.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from store.curation.exclusion_reasons import UNFIT_ANSWER

_STAGE = "curate: attempts"

IS_FIT = (
    "NOT EXISTS (SELECT 1 FROM metrics u WHERE u.iteration_id = a.iteration_id"
    f" AND u.stage = '{_STAGE}' AND u.name IN ({', '.join(repr(reason) for reason in UNFIT_ANSWER)}) AND u.step = a.id)"
)
"""SQL condition on an attempt `a`: no curation of its iteration found a reason against it."""

Use = Literal["rehearsal", "distillation", "sampled attempts"]
"""What attempts are trained on as: right first attempts, corrected attempts, and first attempts sampled besides."""


@dataclass(frozen=True, slots=True)
class UnfitCount:
    """Number of attempts left out for a reason, of those with a use in training."""

    use: Use
    reason: str
    n: int


def replace_unfit_attempts(connection: sqlite3.Connection, iteration_id: int, reasons: Mapping[int, str]) -> None:
    """Replace the unfit attempts of an iteration, given as reasons by id; inside a write transaction."""
    connection.execute("DELETE FROM metrics WHERE iteration_id = ? AND stage = ?", (iteration_id, _STAGE))
    connection.executemany(
        "INSERT INTO metrics (iteration_id, stage, step, name, value, created) VALUES (?, ?, ?, ?, 1, ?)",
        [(iteration_id, _STAGE, attempt, reason, time.time()) for attempt, reason in sorted(reasons.items())],
    )


def unfit_attempts(connection: sqlite3.Connection, iteration_id: int) -> list[UnfitCount]:
    """Count the unfit attempts of an iteration by use and reason, the most frequent reason first."""
    return [
        UnfitCount(*row)
        for row in connection.execute(
            "SELECT CASE WHEN a.turn > 1 THEN 'distillation' WHEN a.sample > 0 THEN 'sampled attempts'"
            " ELSE 'rehearsal' END AS use, m.name, count(*) AS n"
            " FROM metrics m JOIN attempts a ON a.id = m.step WHERE m.iteration_id = ? AND m.stage = ?"
            " GROUP BY use, m.name ORDER BY use, n DESC, m.name",
            (iteration_id, _STAGE),
        )
    ]
