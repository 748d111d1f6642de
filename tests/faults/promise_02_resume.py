"""Promise 2: after the kills of promise 1 each run ends with the work of an uninterrupted one: no duplicate, no gap."""

from __future__ import annotations

from tests.faults.promise_01_kills import toll
from tests.faults.results import Result


def run(n: int, seed: int) -> Result:
    """Check for the same work keys and texts after each run."""
    found = toll(n, seed)
    other = [trouble for trouble in found.troubles if "ended with other" in trouble]
    detail = f" First trouble: {other[0]}" if other else "Attempts, reflections, sets, policies and files are equal."
    return Result(2, "resumed to the rows of an uninterrupted run", n, found.resumed, found.resumed >= n, detail)
