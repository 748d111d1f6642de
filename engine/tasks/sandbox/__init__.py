"""A sandbox for untrusted Python programs, which refuses to run a program that it can't confine.

Two tiers: `bubblewrap`, and `landlock` where user namespaces are not permitted. A program never runs in this process
and never unconfined. Depends on the standard library only. See docs/sandbox.md.
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
    """Load a program, run its set-up and then each step in the program's module, all in one sandbox.

    Blocks for at most one second longer than `limits.wall_seconds`; call it from a thread.

    Args:
        source: the program.
        setup: code that runs in the program's module before the steps.
        steps: what to evaluate or execute, in order.
        limits: the limits of the complete run.
        tier: the tier to use; by default the best one that works.

    Raises:
        SandboxUnavailable: if no tier works; nothing has run in this case.
    """
    return run(tier or working_tier(), source, limits=limits, setup=setup, steps=steps)
