"""Frozen records that queries return, and the closed sets of words their fields take. Values only: no connection, no
SQL, no behaviour but small views.

The sets of words are Literal types, so that a misspelt state is an error of the type checker. A tuple of all of them is
`typing.get_args` of the type; it is written down nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["correct", "incorrect", "unverified"]
StageState = Literal["pending", "waiting", "running", "done", "failed", "skipped"]
StageName = Literal["attempt", "reflect", "correct", "curate", "train", "evaluate"]
GateName = Literal[StageName, "promote"]
"""A gate lies before the stage of its name; `promote` follows the evaluation."""
RunState = Literal["new", "ready", "failed"]
RunOrigin = Literal["engine", "import", "synthetic"]
IterationKind = Literal["training", "evaluation"]
IterationState = Literal["running", "waiting", "paused", "stopped", "failed", "done"]
Control = Literal["run", "pause", "stop"]
PolicyState = Literal["candidate", "promoted", "rejected"]
ReviewState = Literal["", "accept", "reject", "flag"]
"""The newest decision of an operator on a reflection; empty for none, and for one that was taken back."""
Split = Literal["train", "dev", "test"]
EventLevel = Literal["debug", "info", "warning", "error"]
Slot = Literal["engine", "rollout", "training", "prepare", "curate"]
"""A process that sends heartbeats: the supervisor, or one of its children."""
DirectiveKind = Literal[
    "start_run",
    "start_iteration",
    "run_stage",
    "pause",
    "resume",
    "save_now",
    "stop",
    "approve",
    "skip",
    "reject",
    "promote",
    "rollback",
    "branch",
    "evaluate",
    "retry_failed",
    "set_settings",
    "shut_down",
]

JsonObject = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Run:
    """A named experiment."""

    id: int
    name: str
    base_model: str
    settings: JsonObject
    base_directory: str
    origin: RunOrigin
    state: RunState
    error: str | None
    created: float


@dataclass(frozen=True, slots=True)
class Policy:
    """A model state in the lineage. `path` is absolute, or relative to the workspace.

    `roles` are the words `reasoner` and `reflector`, those that it can play.
    """

    id: int
    run_id: int
    parent_id: int | None
    iteration_id: int | None
    name: str
    setting: str
    roles: str
    path: str
    base_model: str
    state: PolicyState
    reason: str
    details: JsonObject
    created: float


@dataclass(frozen=True, slots=True)
class Iteration:
    """One pass from a parent policy to a child policy; or of kind `evaluation`, which only measures `parent_id`.

    Both kinds count their `number` from 1 within a run, apart from each other.
    """

    id: int
    run_id: int
    number: int
    parent_id: int | None
    child_id: int | None
    settings: JsonObject
    state: IterationState
    control: Control
    reason: str
    remaining: int
    created: float
    ended: float | None
    kind: IterationKind = "training"

    @property
    def title(self) -> str:
        """What messages call it, e.g. `iteration 2` or `evaluation 1`."""
        return f"{'iteration' if self.kind == 'training' else 'evaluation'} {self.number}"


@dataclass(frozen=True, slots=True)
class IterationName:
    """An iteration by id, with its number and the name of its run."""

    id: int
    number: int
    run: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Progress of one stage of an iteration; counts are items of that stage.

    `note` says what the stage would do (at its gate) or did, in words for an operator.
    """

    id: int
    iteration_id: int
    position: int
    name: StageName
    state: StageState
    approved: bool
    total: int
    done: int
    owed: int
    note: str
    started: float | None
    ended: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class StoredQuestion:
    """A question as stored."""

    id: int
    task: str
    domain: str
    split: Split
    text: str
    options: tuple[str, ...]
    reference: str
    payload: JsonObject
    content_hash: str


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """An attempt as stored. `reasoning` is the whole reply; `latency` in seconds; `score` as the verifier gave it."""

    id: int
    iteration_id: int | None
    question_id: int
    policy_id: int
    protocol: str
    turn: int
    reflection_id: int | None
    sample: int
    reasoning: str
    answer: str | None
    verdict: Verdict
    detail: str
    score: float | None
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    seed: int | None
    prompt_version: str
    prompt_hash: str
    latency: float
    reused_from: int | None
    error: str | None
    created: float


@dataclass(frozen=True, slots=True)
class StoredReflection:
    """A reflection as stored."""

    id: int
    iteration_id: int | None
    attempt_id: int
    instruction: str
    sample: int
    policy_id: int
    protocol: str
    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    seed: int | None
    prompt_version: str
    prompt_hash: str
    latency: float
    flags: str
    reused_from: int | None
    error: str | None
    created: float


@dataclass(frozen=True, slots=True)
class TrajectoryRow:
    """One line of the trajectory list.

    `transition` is `i→c`, `i→i`, `c→c`, `c→i`, with `u` for an unverified side; an attempt that ended
    without a reflection has a single letter, e.g. `c`.
    """

    id: int
    iteration: int | None
    split: Split
    task: str
    domain: str
    transition: str
    instruction: str
    review: ReviewState
    flags: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class TrajectoryDetail:
    """Everything about one trajectory. `siblings` are the trajectory ids of the same attempt, in order."""

    row: TrajectoryRow
    question: StoredQuestion
    attempt: StoredAttempt
    reflection: StoredReflection | None
    correction: StoredAttempt | None
    policy: str
    siblings: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Directive:
    """An operator's word to the engine, and what became of it."""

    id: int
    uuid: str
    kind: DirectiveKind
    arguments: JsonObject
    issued_by: str
    created: float
    claimed: float | None
    done: float | None
    accepted: bool | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The newest sign of life of a slot (`engine`, `rollout`, `training`, `prepare`). `detail` holds gauges."""

    slot: Slot
    pid: int
    started: float
    beat: float
    state: str
    detail: JsonObject


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the human-readable log."""

    id: int
    created: float
    level: EventLevel
    source: str
    iteration_id: int | None
    text: str


@dataclass(frozen=True, slots=True)
class LiveText:
    """Text being generated right now."""

    slot: int
    role: str
    question_id: int | None
    task: str
    instruction: str
    text: str
    updated: float


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value of a training or rollout curve."""

    id: int
    iteration_id: int
    stage: StageName
    step: int
    name: str
    value: float | None
    created: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a policy on held-out questions. `task` is empty for all tasks together.

    `metrics` maps a name (`acc_t1`, `acc_t2`, …) to `{"value", "low", "high", "n"}`; shares, not percent.
    """

    id: int
    policy_id: int
    iteration_id: int | None
    protocol: str
    task: str
    n: int
    metrics: Mapping[str, Mapping[str, float | None]]
    created: float
