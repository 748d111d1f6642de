"""What goes into the sandbox and what comes out of it. Values only; knows no tier and no kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.errors import EngineError

TierName = Literal["bubblewrap", "landlock"]
State = Literal["finished", "time", "memory", "output", "killed"]


class SandboxUnavailable(EngineError):
    """No tier of the sandbox works here, or a sandbox could not be started; nothing was run."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use. All of it is enforced by the kernel or from outside."""

    cpu_seconds: float = 5.0
    """Processor time of all its threads; the kernel counts whole seconds, so it is rounded up."""
    wall_seconds: float = 10.0
    """Time on the clock, the start of the sandbox included."""
    memory_bytes: int = 512 * 2**20
    """Address space; Python itself takes about 30 MiB of it."""
    output_bytes: int = 64 * 2**10
    """Standard output and standard error together."""
    tmpfs_bytes: int = 32 * 2**20
    """Room in /tmp, and the size of its largest file. The landlock tier has no writable place at all."""

    def __post_init__(self) -> None:
        if min(self.cpu_seconds, self.wall_seconds, self.output_bytes, self.tmpfs_bytes) <= 0:
            raise ValueError("limits of the sandbox must be positive")
        if self.memory_bytes < 64 * 2**20:
            raise ValueError("a Python program needs at least 64 MiB")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended."""

    state: State
    """`finished`: it ended by itself, whatever its exit code; else the limit it ran into, or `killed`."""
    exit_code: int | None
    """As the program chose it; negative for the signal that ended it."""
    stdout: bytes
    stderr: bytes
    seconds: float
    """Wall clock, the start of the sandbox included."""
    tier: TierName
    reason: str = ""
    """Why it was ended, for an operator; empty when it ended by itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do after the program has been loaded, in the program's own module.

    `value` evaluates an expression and gives its value back as a Python literal; `truth` gives back True or False;
    `run` executes a statement, and only says whether it raised.
    """

    kind: Literal["value", "truth", "run"]
    code: str


@dataclass(frozen=True, slots=True)
class Record:
    """What came back for a step. The program could have forged it: it says what it claims, never that it is right."""

    kind: Literal["value", "other", "ran", "raised"]
    """`other`: a value that is no plain literal."""
    text: str
    """The literal; the name of the value's type; or the error as `Type: message`."""


@dataclass(frozen=True, slots=True)
class Report:
    """A program's end and the records of its steps."""

    outcome: Outcome
    loaded: Record | None
    """How loading the program (and its set-up) went: `ran` or `raised`; None when it never came to an end."""
    records: tuple[Record | None, ...]
    """One for each step, in order; None for steps that were not reached."""


@dataclass(frozen=True, slots=True)
class TierReport:
    """Whether a tier works on this machine, as found by running a program in it."""

    name: TierName
    works: bool
    reason: str = ""
    """Why it doesn't."""
    fix: str = ""
    """What an operator can do about it."""
