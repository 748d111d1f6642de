"""Input and output types of the sandbox: limits, steps, records and reports. Independent of tiers and the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.errors import EngineError

TierName = Literal["bubblewrap", "landlock"]
State = Literal["finished", "time", "memory", "output", "killed"]


class SandboxUnavailable(EngineError):
    """No tier of the sandbox works on this machine, or a sandbox could not be started; nothing was run."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of one program, enforced by the kernel or from outside the sandbox."""

    cpu_seconds: float = 5.0
    """Processor time of all threads in seconds; rounded up, because the kernel counts whole seconds."""
    wall_seconds: float = 10.0
    """Wall-clock time in seconds, including the start of the sandbox."""
    memory_bytes: int = 512 * 2**20
    """Address space in bytes; Python itself takes about 30 MiB of it."""
    output_bytes: int = 64 * 2**10
    """Standard output and standard error together, in bytes."""
    tmpfs_bytes: int = 32 * 2**20
    """Size of /tmp and of its largest file, in bytes. The landlock tier has no writable directory at all."""

    def __post_init__(self) -> None:
        if min(self.cpu_seconds, self.wall_seconds, self.output_bytes, self.tmpfs_bytes) <= 0:
            raise ValueError("limits of the sandbox must be positive")
        if self.memory_bytes < 64 * 2**20:
            raise ValueError("a Python program needs at least 64 MiB")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended."""

    state: State
    """`finished` if it exited by itself, with any exit code; otherwise the limit it exceeded, or `killed`."""
    exit_code: int | None
    """The exit code of the program; negative for the signal that ended it."""
    stdout: bytes
    stderr: bytes
    seconds: float
    """Wall-clock time in seconds, including the start of the sandbox."""
    tier: TierName
    reason: str = ""
    """Why it was killed, for the operator; empty if it exited by itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step to run in the program's module after the program has been loaded.

    `value` evaluates an expression and returns its value as a Python literal; `truth` returns True or False; `run`
    executes a statement and reports only whether it raised.
    """

    kind: Literal["value", "truth", "run"]
    code: str


@dataclass(frozen=True, slots=True)
class Record:
    """The result reported for a step. The program could have forged it, so it is never trusted as correct."""

    kind: Literal["value", "other", "ran", "raised"]
    """`other` is a value that is not a plain literal."""
    text: str
    """The literal, the name of the value's type, or the error as `Type: message`."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a program and the records of its steps."""

    outcome: Outcome
    loaded: Record | None
    """Result of loading the program and its set-up: `ran` or `raised`; None if loading did not finish."""
    records: tuple[Record | None, ...]
    """One record per step, in order; None for steps that were not reached."""


@dataclass(frozen=True, slots=True)
class TierReport:
    """Whether a tier works on this machine, as determined by running a program in it."""

    name: TierName
    works: bool
    reason: str = ""
    """Why it does not work."""
    fix: str = ""
    """What the operator can do about it."""
