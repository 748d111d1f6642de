"""How many rows an iteration has of each kind: what a status report says was done."""

from __future__ import annotations

import sqlite3

from store.curation import curation_counts


def iteration_counts(connection: sqlite3.Connection, iteration_id: int) -> dict[str, int]:
    """Rows of an iteration: attempts, reflections and corrections of its rollouts, evaluation answers, included
    curated rows by set, metric points, and samples that failed."""

    def one(query: str) -> int:
        return int(connection.execute(query, (iteration_id,)).fetchone()[0])

    counts = {
        "attempts": one("SELECT count(*) FROM attempts WHERE iteration_id = ? AND protocol = '' AND turn = 1"),
        "reflections": one("SELECT count(*) FROM reflections WHERE iteration_id = ? AND protocol = ''"),
        "corrections": one("SELECT count(*) FROM attempts WHERE iteration_id = ? AND protocol = '' AND turn > 1"),
        "evaluation_attempts": one("SELECT count(*) FROM attempts WHERE iteration_id = ? AND protocol <> ''"),
        "metrics": one("SELECT count(*) FROM metrics WHERE iteration_id = ?"),
        "failed_samples": one("SELECT count(*) FROM attempts WHERE iteration_id = ? AND error IS NOT NULL")
        + one("SELECT count(*) FROM reflections WHERE iteration_id = ? AND error IS NOT NULL"),
    }
    sets = curation_counts(connection, iteration_id)
    for set_name in ("d_plus", "d_pm", "d_pref"):
        counts[set_name] = sets.get(set_name, {}).get("included", 0)
    return counts


def integrity(connection: sqlite3.Connection) -> str:
    """`ok`, or the first thing SQLite finds wrong with the file."""
    return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])


def progress_mark(connection: sqlite3.Connection, iteration_id: int) -> tuple[object, ...]:
    """A value that differs as soon as a process of an iteration got further: a row more, a step more, or a longer text.

    Heartbeats and gauges are no part of it: a process that hangs still sends them.
    """
    row = connection.execute(
        "SELECT (SELECT max(id) FROM attempts), (SELECT max(id) FROM reflections), (SELECT max(id) FROM curated),"
        " (SELECT max(id) FROM preferences), (SELECT count(*) FROM run_questions),"
        " (SELECT group_concat(done || '/' || total || state) FROM stages WHERE iteration_id = ?),"
        " (SELECT group_concat(text) FROM live_text)",
        (iteration_id,),
    ).fetchone()
    return tuple(row)
