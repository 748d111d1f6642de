"""Requests to the judge of Dpref, stored before they are sent.

The request budget counts these rows, so that a resume counts no request twice and repeats no answered one.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Literal

from store.curation.records import JudgeRequest
from store.database.rows import to_records

Answer = Literal["first", "second", "unclear", "failed"]


def requests_spent(connection: sqlite3.Connection, iteration_id: int) -> int:
    """Return the number of requests an iteration has made so far, whatever their result."""
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
    """Insert a request before it is sent.

    Args:
        connection: inside a write transaction.
        iteration_id: the iteration whose budget is used.
        first_id: the reflection shown first.
        second_id: the reflection shown second.
        judge: name of the judge, as in `preferences.reviewer`.
        prompt_version: version of the judge's prompt.
        budget: maximum number of requests of the iteration.

    Returns:
        The id of the request, or None when the budget is exhausted.
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
    """Store the answer of the judge to a request."""
    connection.execute("UPDATE judge_requests SET answer = ? WHERE id = ?", (answer, request_id))


def judge_requests(connection: sqlite3.Connection, iteration_id: int) -> list[JudgeRequest]:
    """Return the requests of an iteration, oldest first."""
    return to_records(
        JudgeRequest,
        connection.execute(
            "SELECT * FROM judge_requests WHERE iteration_id = ? ORDER BY id", (iteration_id,)
        ).fetchall(),
    )
