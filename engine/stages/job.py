"""What the supervisor sends a child to do: plain values that travel on a command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from store.records import Slot, StageName

JobKind = Literal["prepare", "generate", "curate", "train"]

TAG = "REFLECTEVO_ENGINE"
"""Environment variable that marks every process of a workspace's engine, with the workspace's path."""

DONE, FAILED, STOPPED, HELD = 0, 1, 10, 11
"""Exit codes of a child: nothing owed any more, failed, stopped on request, held up by a disk or database that can't
be written. One that failed or is held up reported why."""


_SLOTS: Mapping[JobKind, Slot] = {
    "prepare": "prepare",
    "generate": "rollout",
    "curate": "curate",
    "train": "training",
}


@dataclass(frozen=True, slots=True)
class Job:
    """One child's work.

    `stages` are the rollout stages it may do; `evaluates` says whether it also answers the held-out
    questions with `policy_id`.
    """

    kind: JobKind
    run_id: int
    iteration_id: int | None = None
    policy_id: int | None = None
    stages: tuple[StageName, ...] = ()
    evaluates: bool = False

    def dump(self) -> str:
        """As one command-line argument."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def load(text: str) -> Job:
        """From a command-line argument."""
        values = json.loads(text)
        values["stages"] = tuple(values["stages"])
        return Job(**values)

    @property
    def slot(self) -> Slot:
        """Heartbeat slot and log of the child."""
        return _SLOTS[self.kind]
