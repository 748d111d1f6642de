"""The job of a worker process, as plain values that are passed on its command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from store.records import Slot, StageName

ChildCommand = Literal["pause", "resume", "stop", "save"]
"""A line of a child's standard input."""

JobKind = Literal["prepare", "generate", "curate", "train"]

TAG = "REFLECTEVO_ENGINE"
"""Environment variable that marks every process of a workspace's engine; its value is the workspace's path."""

DONE, FAILED, STOPPED, HELD = 0, 1, 10, 11
"""Exit codes of a worker: no outstanding work, failed, stopped on request, prevented by a disk or database that can't
be written. In the second and the last case it has reported the reason."""


_SLOTS: Mapping[JobKind, Slot] = {
    "prepare": "prepare",
    "generate": "rollout",
    "curate": "curate",
    "train": "training",
}


@dataclass(frozen=True, slots=True)
class Job:
    """The work of one worker process.

    `stages` are the rollout stages to run; if `evaluates` is true, it also answers the held-out questions with
    `policy_id`.
    """

    kind: JobKind
    run_id: int
    iteration_id: int | None = None
    policy_id: int | None = None
    stages: tuple[StageName, ...] = ()
    evaluates: bool = False

    def dump(self) -> str:
        """Return the job as a command-line argument (JSON)."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def load(text: str) -> Job:
        """Read a job from a command-line argument."""
        values = json.loads(text)
        values["stages"] = tuple(values["stages"])
        return Job(**values)

    @property
    def slot(self) -> Slot:
        """The worker's heartbeat slot, which also names its log."""
        return _SLOTS[self.kind]
