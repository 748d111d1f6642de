"""Every question that a judge was asked, written before it is sent: the budget counts these rows, so a resume neither
spends twice nor asks again what was answered."""

from __future__ import annotations

import sqlite3
import time
from typing import Literal

from store.curation.records import JudgeRequest
from store.database.rows import to_records

Answer = Literal["first", "second", "unclear", "failed"]


def requests_spent(connection: sqlite3.Connection, iteration_id: int) -> int:
    """How many requests an iteration has spent so far, whatever came of them."""
    found: int = connection.execute(
        "SELECT count(*) FROM judge_requests WHERE iteration_id = ?", (iteration_id,)
    ).fetchone()[0]
    return found


def add_request(
    connection: sqlite3.Connection,
    iteration_id: int,
    first_id: int,
    second_id: int,
    *,
    judge: str,
    prompt_version: str,
    budget: int,
) -> int | None:
    """Spend one request, inside a write transaction; returns its id, or None when the budget is spent.

    Args:
        connection: inside a write transaction.
        iteration_id: whose budget.
        first_id: the reflection shown first.
        second_id: the reflection shown second.
        judge: who is asked, as in `preferences.reviewer`.
        prompt_version: version of the judge's prompt.
        budget: most requests of the iteration.
    """
    if requests_spent(connection, iteration_id) >= budget:
        return None
    cursor = connection.execute(
        "INSERT INTO judge_requests (iteration_id, first_id, second_id, judge, prompt_version, created)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (iteration_id, first_id, second_id, judge, prompt_version, time.time()),
    )
    return int(cursor.lastrowid or 0)


def answer_request(connection: sqlite3.Connection, request_id: int, answer: Answer) -> None:
    """Record what a judge answered."""
    connection.execute("UPDATE judge_requests SET answer = ? WHERE id = ?", (answer, request_id))


def judge_requests(connection: sqlite3.Connection, iteration_id: int) -> list[JudgeRequest]:
    """The requests of an iteration, oldest first."""
    return to_records(
        JudgeRequest,
        connection.execute(
            "SELECT * FROM judge_requests WHERE iteration_id = ? ORDER BY id", (iteration_id,)
        ).fetchall(),
    )
