"""Takeover from an unresponsive engine: describes it, and ends it on an operator's request.

The next engine resumes from the stored rows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from reflectevo_tui.engine_client.process import StartedEngine, start_engine
from store.control.liveness import engine_state
from store.control.lock_file import process_state, verified_holder
from store.control.takeover import end_holder
from store.control.telemetry import events, heartbeats
from store.database.connection import reading
from store.errors import TakeoverRefused
from store.workspace import Workspace

_STATES = {
    "R": "it is computing",
    "S": "it is waiting",
    "D": "it is waiting for a disk or device that does not respond, and can't be ended until it does",
    "T": "it was stopped by a signal (SIGSTOP or ctrl+z); `kill -CONT` resumes it",
    "Z": "it has already ended",
}


@dataclass(frozen=True, slots=True)
class HolderDescription:
    """Known facts about the engine of a workspace.

    `may_end` is True when it is unresponsive and its process is proven to be the workspace's engine.
    """

    lines: tuple[str, ...]
    may_end: bool


def describe_holder(workspace: Workspace) -> HolderDescription:
    """Collect the known facts about a workspace's engine.

    Raises:
        StoreError: when its database can't be read.
    """
    with reading(workspace.require().database) as connection:
        engine = engine_state(connection, workspace.lock_file)
        beats = heartbeats(connection)
        last = events(connection, limit=1)
    if engine.state == "stopped" or engine.pid is None:
        return HolderDescription(("no engine holds this workspace; `reflectevo run` starts one",), False)
    holder = verified_holder(workspace.lock_file, engine.pid)
    since = f", started {_clock(holder.started)}" if holder is not None else ""
    lines = [f"process {engine.pid} holds the workspace{since}"]
    silent = f"silent for {engine.silent_for:.0f} s" if engine.silent_for is not None else "never sent a heartbeat"
    lines.append(silent if engine.state == "stale" else "it is running and responding")
    lines.append(_STATES.get(process_state(engine.pid), "its state is not visible from here"))
    if engine.trouble:
        lines.append(f"it reports: {engine.trouble}")
    lines += [
        f"{slot} (pid {beat.pid}) was {beat.state}, last seen {_clock(beat.beat)}"
        for slot, beat in beats.items()
        if slot != "engine"
    ]
    lines += [f"last event {_clock(event.created)}: {event.text}" for event in last]
    if holder is None:
        lines.append("it could not be verified as this workspace's engine, so it is left running")
    return HolderDescription(tuple(lines), engine.state == "stale" and holder is not None)


def take_over(workspace: Workspace) -> tuple[str, StartedEngine]:
    """End the unresponsive engine of a workspace and start a new one; return how the old one ended, and the new one.

    Raises:
        TakeoverRefused: when the engine is responsive, isn't the workspace's, or doesn't end.
        EngineUnavailable: when the new engine doesn't start.
    """
    account = describe_holder(workspace)
    if not account.may_end:
        raise TakeoverRefused("no takeover: " + "; ".join(account.lines))
    return end_holder(workspace.lock_file), start_engine(workspace)


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
