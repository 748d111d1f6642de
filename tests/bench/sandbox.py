"""Cost of confinement: a trivial program in each tier of the sandbox against the same Python without a sandbox."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable

from engine.tasks.sandbox import probe
from engine.tasks.sandbox.interpreter import interpreter
from tests.bench.measure import Row
from tests.support.sandboxed import run_python

RUNS = 41
_MOST = 5.0


def measure() -> list[Row]:
    """Return one row for each tier that works here. The runs alternate, so that a busy moment affects all of them."""
    python = str(interpreter().executable)
    plain = [python, "-I", "-S", "-c", "pass"]
    works: dict[str, Callable[[], object]] = {
        "plain": lambda: subprocess.run(plain, env={}, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    }
    for tier in probe():
        if tier.works:
            works[tier.name] = lambda name=tier.name: run_python("pass", tier=name)  # type: ignore[misc]
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(RUNS):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - started)
    median = {name: statistics.median(found) for name, found in times.items()}
    return [_row(name, seconds, median["plain"]) for name, seconds in median.items() if name != "plain"]


def _row(tier: str, ours: float, baseline: float) -> Row:
    what = f"a program in the sandbox ({tier}) / python -I -S -c pass"
    return Row(what, f"{1000 * ours:.1f} ms", f"{1000 * baseline:.1f} ms", ours / baseline, _MOST, False)
