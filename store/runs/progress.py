"""The progress of an iteration: its row counts by kind for a status report, and a mark that detects stalls."""

from __future__ import annotations

import sqlite3

from store.curation.curated import tallies
from store.curation.datasets import SET_NAMES

_KINDS = ("attempts", "reflections", "corrections", "evaluation_attempts", "metrics", "failed_samples")


def iteration_counts(connection: sqlite3.Connection, iteration_id: int) -> dict[str, int]:
    """Count the rows of an iteration by kind.

    The kinds are attempts, reflections and corrections of its rollouts, evaluation answers, included curated rows by
    set, metric points, and failed samples. Takes constant time, except for the metric points.
    """
    found = tallies(connection, iteration_id)
    found["metrics"] = connection.execute(
        "SELECT count(*) FROM metrics WHERE iteration_id = ?", (iteration_id,)
    ).fetchone()[0]
    counts = {kind: found.get(kind, 0) for kind in _KINDS}
    return counts | {name: found.get(f"{name}/included", 0) for name in SET_NAMES}


def integrity(connection: sqlite3.Connection) -> str:
    """Run SQLite's quick check; returns `ok`, or the first problem found."""
    return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])


def progress_mark(connection: sqlite3.Connection, iteration_id: int) -> tuple[object, ...]:
    """Return a value that changes whenever an iteration makes progress: a new row, a new step, or a longer text.

    Heartbeats and gauges are not part of it: a hung process still sends them.
    """
    row = connection.execute(
        "SELECT (SELECT max(id) FROM attempts), (SELECT max(id) FROM reflections), (SELECT max(id) FROM curated),"
        " (SELECT max(id) FROM preferences), (SELECT max(id) FROM control_texts),"
        " (SELECT max(question_id) FROM run_questions WHERE run_id = (SELECT max(id) FROM runs)),"
        " (SELECT group_concat(done || '/' || total || state) FROM stages WHERE iteration_id = ?),"
        " (SELECT group_concat(text) FROM live_text)",
        (iteration_id,),
    ).fetchone()
    return tuple(row)
