"""The progress of an iteration: its row counts by kind for a status report, and a mark that detects stalls."""

from __future__ import annotations

import sqlite3

from store.curation.curated import tallies
from store.curation.datasets import SET_NAMES

_KINDS = (
    *("attempts", "attempt_samples", "reflections", "corrections", "correction_samples"),
    *("evaluation_attempts", "metrics", "failed_samples"),
)


def iteration_counts(connection: sqlite3.Connection, iteration_id: int) -> dict[str, int]:
    """Count the rows of an iteration by kind.

    The kinds are attempts, reflections and corrections of its rollouts, evaluation answers, included curated rows by
    set, metric points, and failed samples. Attempts sampled beside the first one of a question (`attempt.samples`) are
    `attempt_samples`; corrections after the first one of a reflection, and those without a reflection
    (`correction.samples`), are `correction_samples`. Takes constant time, except for these samples and the metric
    points.
    """
    found = tallies(connection, iteration_id)
    for kind, samples in _samples(connection, iteration_id).items():
        found[kind] = found.get(kind, 0) - samples
        found[f"{kind.removesuffix('s')}_samples"] = samples
    found["metrics"] = connection.execute(
        "SELECT count(*) FROM metrics WHERE iteration_id = ?", (iteration_id,)
    ).fetchone()[0]
    counts = {kind: found.get(kind, 0) for kind in _KINDS}
    return counts | {name: found.get(f"{name}/included", 0) for name in SET_NAMES}


def _samples(connection: sqlite3.Connection, iteration_id: int) -> dict[str, int]:
    """Count the texts of a rollout that belong to no trajectory; empty if the settings sample none."""
    row = connection.execute(
        "SELECT settings ->> '$.attempt.samples', settings ->> '$.correction.samples' FROM iterations WHERE id = ?",
        (iteration_id,),
    ).fetchone()
    if row is None or ((row[0] or 0) < 1 and (row[1] or 0) < 2):
        return {}
    found = connection.execute(
        "SELECT coalesce(sum(turn = 1 AND sample > 0), 0),"
        " coalesce(sum(turn > 1 AND (sample > 0 OR reflection_id IS NULL)), 0)"
        " FROM attempts WHERE iteration_id = ? AND protocol = ''",
        (iteration_id,),
    ).fetchone()
    return {"attempts": found[0], "corrections": found[1]}


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
