"""Frozen records that queries return, and the types of their fields. Values only: no connection and no SQL.

States, stages, verdicts and kinds are Literal types, so that the type checker reports a misspelt one. Use
`typing.get_args` for a tuple of all values of such a type; there is no second list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["correct", "incorrect", "unverified"]
StageState = Literal["pending", "waiting", "running", "done", "failed", "skipped"]
StageName = Literal["attempt", "reflect", "correct", "curate", "train", "evaluate"]
GateName = Literal[StageName, "promote"]
"""A gate comes before the stage of the same name; `promote` comes after the evaluation."""
RunState = Literal["new", "ready", "failed"]
RunOrigin = Literal["engine", "import", "synthetic"]
IterationKind = Literal["training", "evaluation"]
IterationState = Literal["running", "waiting", "paused", "stopped", "failed", "done"]
Control = Literal["run", "pause", "stop"]
PolicyState = Literal["candidate", "promoted", "rejected"]
ReviewState = Literal["", "accept", "reject", "flag"]
"""The newest decision of an operator on a reflection; empty if there is none or it was withdrawn."""
LiftOrder = Literal["highest lift", "lowest lift"]
"""An order by the lift of the reflections, named after what comes first; unknown lifts are last in both."""
Split = Literal["train", "dev", "test"]
EventLevel = Literal["debug", "info", "warning", "error"]
Slot = Literal["engine", "rollout", "training", "prepare", "curate"]
"""A process that sends heartbeats: the supervisor, or one of its worker processes."""
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

Arm = Literal[
    "own",
    "none",
    "generic",
    "shuffled",
    "foreign",
    "parent-reflection",
    "parent-correction",
    "other-answer",
    "told",
]
"""An arm of the controls: what stands where the reflection on a wrong first answer stands, and who corrects."""
ControlText = Literal[Arm, "reflection", "judgement"]
"""A text of the controls: an arm's answer, a reflection (sample 0 the policy's, 1 its parent's), a judgement."""
FirstAnswers = Literal["own", "base"]
"""Whose wrong first answers the controls correct: those of the measured policy, or of the run's base policy."""

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
    """A version of the model in the lineage. `path` is absolute, or relative to the workspace.

    `roles` names the roles it can take: `reasoner`, `reflector`, or both.
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
    """One pass from a parent policy to a child policy, or of kind `evaluation`, only a measurement of `parent_id` and,
    if there is a second policy to measure, `child_id`.

    `number` counts from 1 within a run, separately for each kind.
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
        """Its name in messages, e.g. `iteration 2` or `evaluation 1`."""
        return f"{'iteration' if self.kind == 'training' else 'evaluation'} {self.number}"


@dataclass(frozen=True, slots=True)
class IterationName:
    """An iteration by id, with its number and the name of its run."""

    id: int
    number: int
    run: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Progress of one stage of an iteration; `total`, `done` and `owed` (outstanding) count items of that stage.

    `note` summarises for the operator what the stage will do (at its gate) or did.
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
    """An attempt as stored. `reasoning` is the complete reply, `latency` in seconds, `score` the verifier's score."""

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
    """One row of the trajectory list.

    `transition` is `i→c`, `i→i`, `c→c` or `c→i`, with `u` for an unverified side; an attempt without a reflection has a
    single letter, e.g. `c`.
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
    lift: float | None = None
    """The stored lift of the reflection, from −1 to 1; None where it is unknown."""


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive from an operator to the engine, with its outcome once the engine has handled it."""

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
    """The newest heartbeat of a slot. `detail` holds gauges, e.g. of throughput and memory."""

    slot: Slot
    pid: int
    started: float
    beat: float
    state: str
    detail: JsonObject


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the event log."""

    id: int
    created: float
    level: EventLevel
    source: str
    iteration_id: int | None
    text: str


@dataclass(frozen=True, slots=True)
class LiveText:
    """The text that a generation slot is producing at the moment."""

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
    """Metrics of a policy on held-out questions. `task` is empty for all trained tasks together.

    `metrics` maps a name (`acc_t1`, `acc_t2`, …) to `{"value", "low", "high", "n"}`; values are shares, not percent.
    """

    id: int
    policy_id: int
    iteration_id: int | None
    protocol: str
    task: str
    n: int
    metrics: Mapping[str, Mapping[str, float | None]]
    created: float
    split: Split = "test"
    """The split of the questions. Promotion is decided on one of them; the other is only reported."""
