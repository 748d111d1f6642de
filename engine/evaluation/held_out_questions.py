"""Selects the held-out questions of an iteration: the test questions, or the dev questions of its draw."""

from __future__ import annotations

import sqlite3

from store.records import Iteration, StoredQuestion
from store.runs.runs import dev_draws, run_questions
from store.settings import RunSettings


def dev_draw(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> int:
    """Return the number of the draw whose dev questions an iteration measures on, from 0.

    With `fresh_dev = n`, iterations 1 to n have draw 0, the next n draw 1, and so on. An evaluation outside an
    iteration has the newest draw.
    """
    if not settings.evaluation.fresh_dev:
        return 0
    if iteration.kind == "evaluation":
        return max(dev_draws(connection, iteration.run_id), default=0)
    return (iteration.number - 1) // settings.evaluation.fresh_dev


def held_out_questions(
    connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings
) -> list[StoredQuestion]:
    """Return the questions that an iteration measures policies on, in a stable order.

    Parent and child of an iteration always answer the same ones.
    """
    split = settings.evaluation.split
    draw = dev_draw(connection, iteration, settings) if split == "dev" else 0
    return run_questions(connection, iteration.run_id, split, draw)


def lacks_dev_questions(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> bool:
    """Check whether an iteration is to measure on a draw of dev questions that has not been made yet."""
    if settings.evaluation.split != "dev":
        return False
    draw = dev_draw(connection, iteration, settings)
    return draw > 0 and draw not in dev_draws(connection, iteration.run_id)
