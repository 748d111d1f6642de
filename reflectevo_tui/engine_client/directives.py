"""Issues directives from the command line and waits for the engine's word on them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from reflectevo_tui.engine_client.process import start_engine
from store.control.directives import COMMANDS, find, issue
from store.control.liveness import lock_owner
from store.database.connection import reading, writing
from store.errors import DirectiveRefused
from store.records import DirectiveKind
from store.workspace import Workspace

_ANSWER_SECONDS = 30.0


def issue_and_wait(workspace: Workspace, kind: DirectiveKind, arguments: Mapping[str, object], *, start: bool) -> str:
    """Issue a directive and return the engine's outcome.

    Args:
        workspace: where.
        kind: the directive.
        arguments: its arguments.
        start: start the engine when none runs; else the directive waits for the next one.

    Raises:
        DirectiveRefused: with the engine's reason.
        EngineUnavailable: when the engine can't be started.
    """
    if start:
        start_engine(workspace)
    with writing(workspace.require().database, durable=True) as connection:
        uuid = issue(connection, kind, arguments)
    if lock_owner(workspace.lock_file) is None:
        return f"{COMMANDS[kind]} is queued: no engine is running; it is applied when one starts (reflectevo run)"
    deadline = time.monotonic() + _ANSWER_SECONDS
    with reading(workspace.database) as connection:
        while time.monotonic() < deadline:
            # Looked at in this order: an engine that answers and ends at once has answered.
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
            time.sleep(0.05)
    raise DirectiveRefused(
        f"{COMMANDS[kind]} is queued: the engine hasn't answered in {_ANSWER_SECONDS:.0f} s; see reflectevo status"
    )
