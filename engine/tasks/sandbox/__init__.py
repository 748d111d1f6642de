"""Runs untrusted Python where it can do no harm, and refuses where it can't be confined.

Two tiers: `bubblewrap`, and `landlock` where user namespaces are refused. Never in this process, never unconfined.
Needs the standard library only. See docs/sandbox.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.tasks.sandbox.probing import probe, working_tier
from engine.tasks.sandbox.records import Limits, Outcome, Record, Report, SandboxUnavailable, Step, TierName, TierReport
from engine.tasks.sandbox.runner import run

__all__ = [
    "Limits",
    "Outcome",
    "Record",
    "Report",
    "SandboxUnavailable",
    "Step",
    "TierReport",
    "probe",
    "run_steps",
]

_USUAL = Limits()


def run_steps(
    source: str, setup: str, steps: Sequence[Step], limits: Limits = _USUAL, tier: TierName | None = None
) -> Report:
    """Load a program, run its set-up, then each step in the program's module: one sandbox for all of them.

    Blocks for at most `limits.wall_seconds` and a second; call it from a thread. Raises SandboxUnavailable when no
    tier works: then nothing was run.
    """
    return run(tier or working_tier(), source, limits=limits, setup=setup, steps=steps)
