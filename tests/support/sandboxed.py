"""Runs a program as a script in the sandbox."""

from __future__ import annotations

from engine.tasks.sandbox import Limits, Outcome
from engine.tasks.sandbox.probing import working_tier
from engine.tasks.sandbox.records import TierName
from engine.tasks.sandbox.runner import run

_USUAL = Limits()


def run_python(source: str, stdin: bytes = b"", limits: Limits = _USUAL, tier: TierName | None = None) -> Outcome:
    """Run a program as a script, in the best tier that works or in a given one.

        Blocks for at most `limits.wall_seconds` plus a second; call it from a thread. Raises SandboxUnavailable when no
        tier
    works: then nothing was run.
    """
    return run(tier or working_tier(), source, stdin=stdin, limits=limits).outcome
