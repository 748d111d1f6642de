"""Adds finished trajectories to a workspace at a steady rate, as a rollout does: a transaction for each row.

python -m tests.faults.busy_writer DATABASE ROWS_A_SECOND; prints the number of rows when its input ends.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from store.database.connection import open_writer, write
from store.rollouts.attempts import (
    NewAttempt,
    NewGeneration,
    NewReflection,
    finish_trajectory,
    insert_attempt,
    insert_reflection,
)


def main(database: Path, rate: float) -> None:
    """Write until the input ends."""
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    with closing(open_writer(database)) as connection:
        iteration, policy = connection.execute("SELECT id, parent_id FROM iterations ORDER BY id DESC").fetchone()
        questions = [row[0] for row in connection.execute("SELECT id FROM questions LIMIT 20000")]
        base = connection.execute("SELECT count(*) FROM attempts").fetchone()[0]
        rows, started = 0, time.monotonic()
        while not over.is_set():
            number = base + rows
            made = NewGeneration(
                iteration,
                policy,
                "busy/1",
                number,
                "count it again " * 40,
                180,
                120,
                "stop",
                7,
                "1",
                "ab" * 32,
                0.4,
                None,
            )
            question = questions[number % len(questions)]
            with write(connection):
                attempt = insert_attempt(connection, NewAttempt(made, question, 1, None, "3", "incorrect", "", 0.0))
            with write(connection):
                reflection = insert_reflection(connection, NewReflection(made, attempt, "1-1-1", ""))
            with write(connection):
                second = insert_attempt(connection, NewAttempt(made, question, 2, reflection, "4", "correct", "", 1.0))
                finish_trajectory(connection, attempt, reflection, second)
            rows += 3
            time.sleep(max(0.0, started + rows / rate - time.monotonic()))
        print(rows / (time.monotonic() - started), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
