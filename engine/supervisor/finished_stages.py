"""Detects completed rollout stages and names how a worker process ended."""

from __future__ import annotations

import signal
import sqlite3

from store.database.connection import write
from store.runs import iterations
from store.settings import ROLLOUT_STAGES


def signal_name(code: int) -> str:
    """Return the name of the signal that ended a process, or its exit code as text."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def mark_finished_rollouts(connection: sqlite3.Connection, iteration_id: int) -> None:
    """Mark rollout stages done as soon as the stages before them are done and they have no outstanding work.

    In flow pace the three overlap; this shows an operator which of them have ended while the others continue.
    """
    ended = []
    for stage in iterations.stages(connection, iteration_id):
        if stage.name not in ROLLOUT_STAGES:
            break
        if stage.state == "done":
            continue
        if stage.state != "running" or not stage.total or stage.owed:
            break
        ended.append(stage.name)
    # The last one ends with the worker, which may still have held-out questions to answer.
    ended = [name for name in ended if name != ROLLOUT_STAGES[-1]]
    if ended:
        with write(connection):
            for name in ended:
                iterations.set_stage(connection, iteration_id, name, "done")
