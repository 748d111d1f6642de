"""Issues directives from the command line and waits for their outcome."""

from __future__ import annotations

import time
from collections.abc import Mapping

from reflectevo_tui.engine_client.process import start_engine
from reflectevo_tui.engine_client.stall import StallDetector
from store.control.directives import COMMANDS, find, issue
from store.control.liveness import lock_owner
from store.control.telemetry import heartbeats
from store.database.connection import reading, writing
from store.errors import DirectiveRefused
from store.records import DirectiveKind
from store.workspace import Workspace

_ANSWER_SECONDS = 30.0
"""Timeout for the outcome of a directive in seconds; extended while the engine is too busy to read directives."""

_TURNS = 3
"""Heartbeats after which an engine has read its directives; it reads them before each heartbeat."""


def issue_and_wait(workspace: Workspace, kind: DirectiveKind, arguments: Mapping[str, object], *, start: bool) -> str:
    """Issue a directive and return the engine's outcome.

    Args:
        workspace: the workspace.
        kind: the kind of directive.
        arguments: its arguments.
        start: whether to start the engine when none runs; otherwise the directive waits for the next engine.

    Raises:
        DirectiveRefused: with the engine's reason.
        EngineUnavailable: when the engine can't be started.
    """
    if start:
        start_engine(workspace)
    with writing(workspace.require().database, durable=True) as connection:
        uuid = issue(connection, kind, arguments)
    owner = lock_owner(workspace.lock_file)
    if owner is None:
        return f"{COMMANDS[kind]} is queued: no engine is running; it is applied when one starts (reflectevo run)"
    started, stall = time.monotonic(), StallDetector(owner, _ANSWER_SECONDS)
    beats: set[float] = set()
    with reading(workspace.database) as connection:
        # On a loaded machine an iteration of the engine's loop takes long, and so does a directive that reads files.
        while not stall.stalled() and (len(beats) <= _TURNS or time.monotonic() - started < _ANSWER_SECONDS):
            # Order of the checks: an engine can store the outcome and exit immediately afterwards.
            gone = lock_owner(workspace.lock_file) is None
            directive = find(connection, uuid)
            if directive is not None and directive.done is not None:
                if not directive.accepted:
                    raise DirectiveRefused(str(directive.outcome))
                return str(directive.outcome)
            if gone:
                raise DirectiveRefused(
                    f"{COMMANDS[kind]} is queued: the engine ended before it answered; it is applied when one starts"
                )
            if (beat := heartbeats(connection).get("engine")) is not None:
                beats.add(beat.beat)
            time.sleep(0.05)
    raise DirectiveRefused(
        f"{COMMANDS[kind]} is queued: the engine hasn't answered in {_ANSWER_SECONDS:.0f} s; see reflectevo status"
    )
