"""Notifications for the operator: a waiting gate, a failed stage, an unresponsive engine.

Pure: computed from two snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reflectevo_tui.state.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Alarm:
    """A notification."""

    words: str
    severity: Literal["information", "warning", "error"]


def _gate(snapshot: Snapshot) -> tuple[int, str] | None:
    return (snapshot.iteration.id, snapshot.gate) if snapshot.iteration and snapshot.gate else None


def new_alarms(before: Snapshot | None, now: Snapshot) -> tuple[Alarm, ...]:
    """Return the alarms raised between two snapshots. The first snapshot raises none: the screen shows its state."""
    if before is None:
        return ()
    found: list[Alarm] = []
    if _gate(now) and _gate(now) != _gate(before) and now.iteration is not None:
        found.append(
            Alarm(f"Iteration {now.iteration.number} is waiting at gate {now.gate}: press 1, then g.", "warning")
        )
    failed_before = {stage.id for stage in before.stages if stage.state == "failed"}
    found += [
        Alarm(f"Stage {stage.name} failed: {stage.error or 'see the log'}", "error")
        for stage in now.stages
        if stage.state == "failed" and stage.id not in failed_before
    ]
    if before.engine.state == "running" and now.engine.state == "stopped":
        found.append(Alarm("The engine stopped: press 1, then e, to start it.", "warning"))
    return tuple(found)
