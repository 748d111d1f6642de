"""Runs the ten promises and prints each with the required and the reached number of trials.

    python -m tests.faults                 all, as `make faults` does
    python -m tests.faults 1 2 6           some of them
    python -m tests.faults --share 0.1     with a tenth of the trials, as a quick check of a few minutes
    python -m tests.faults --write-docs    and write the output to docs/faults.md

Exit code 1 when a promise is not kept.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults import (
    promise_01_kills,
    promise_02_resume,
    promise_03_takeover,
    promise_04_one_engine,
    promise_05_terminals,
    promise_06_directives,
    promise_07_sandbox,
    promise_08_hostile_text,
    promise_09_browsing,
    promise_10_disk,
)
from tests.faults.results import Result

PROMISES: dict[int, tuple[int, Callable[[int, int], Result]]] = {
    1: (200, promise_01_kills.run),
    2: (200, promise_02_resume.run),
    3: (50, promise_03_takeover.run),
    4: (100, promise_04_one_engine.run),
    5: (3, promise_05_terminals.run),
    6: (1000, promise_06_directives.run),
    7: (4, promise_07_sandbox.run),
    8: (10_000, promise_08_hostile_text.run),
    9: (460_000, promise_09_browsing.run),
    10: (150, promise_10_disk.run),
}
"""Each promise with its number of trials."""

DOCS = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN, END = "<!-- output -->", "<!-- end of output -->"


def main() -> int:
    """Run the promises named on the command line; exit code 1 when one is not kept."""
    parser = argparse.ArgumentParser(description="the ten promises, under real faults")
    parser.add_argument("promises", nargs="*", type=int, metavar="N", help="which to run (default: all)")
    parser.add_argument("--share", type=float, default=1.0, help="share of the trials to run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write-docs", action="store_true", help=f"put the output into {DOCS.name}")
    chosen = parser.parse_args()
    unknown = [number for number in chosen.promises if number not in PROMISES]
    if unknown:
        parser.error(f"there is no promise {unknown[0]}; there are 1 to {len(PROMISES)}")
    # When terminated from outside it still ends its engines and unmounts what it mounted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    begun = time.monotonic()
    results = []
    for number in chosen.promises or PROMISES:
        required, test = PROMISES[number]
        results.append(_one(number, max(1, round(required * chosen.share)), test, chosen.seed))
        print(results[-1].line(), flush=True)
    short = [result for result in results if not result.passed]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    last = (
        f"{len(results) - len(short)} of {len(results)} promises kept in {(time.monotonic() - begun) / 60:.0f} min on "
        f"{os.cpu_count()} cores (load {load}), Python {platform.python_version()}, share {chosen.share:g}, "
        f"seed {chosen.seed}"
    )
    print(last)
    if chosen.write_docs:
        _write("\n".join([*(result.line() for result in results), last]))
    return int(bool(short))


def _one(number: int, n: int, test: Callable[[int, int], Result], seed: int) -> Result:
    """Return the result of a promise. An exception counts as a broken promise, and the others still run."""
    try:
        return test(n, seed)
    except (AssertionError, OSError, RuntimeError, TimeoutError) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        return Result(number, "broke off", n, 0, False, words[:400])


def _write(output: str) -> None:
    text = DOCS.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCS.write_text(f"{before}{BEGIN}\n```\n{output}\n```\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
