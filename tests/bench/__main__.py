"""Runs the benchmarks and prints a table: what, ours, baseline, ratio, target, met or not.

    python -m tests.bench                   all of them
    python -m tests.bench rollout terminal  some of them
    python -m tests.bench --json            as JSON
    python -m tests.bench --write-docs      and write the table to docs/performance.md

Each run becomes a line of bench-history.jsonl. Output of libraries goes to standard error.

Every figure is a ratio of two measurements in one run, or a time and its budget, because machines differ.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.bench import (
    growth,
    history,
    idle,
    importing,
    listing,
    prefix,
    rollout,
    sandbox,
    starting,
    stores,
    storing,
    terminal,
    training,
    verifying,
)
from tests.bench.measure import Row

BENCHES: dict[str, Callable[[], list[Row]]] = {
    "start": starting.measure,
    "list": listing.measure,
    "store": storing.measure,
    "growth": growth.measure,
    "verifier": verifying.measure,
    "sandbox": sandbox.measure,
    "import": importing.measure,
    "rollout": rollout.measure,
    "prefix": prefix.measure,
    "idle": idle.measure,
    "training": training.measure,
    "terminal": terminal.measure,
    "terminal-growth": terminal.growth,
}

LONG = frozenset({"terminal-growth"})
"""Benchmarks that take many minutes and run only when they are named."""


def main() -> int:
    """Run the benchmarks named on the command line; exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(description="benchmarks; each figure is a ratio within one run")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which to run: {', '.join(BENCHES)} (default: all but {', '.join(LONG)})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write-docs", action="store_true", help=f"put the table into docs/{history.DOCS.name}")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in BENCHES]
    if unknown:
        parser.error(f"there is no bench {unknown[0]!r}; there are: {', '.join(BENCHES)}")
    names = chosen.names or [one for one in BENCHES if one not in LONG]
    seconds: dict[str, float] = {}
    rows: list[Row] = []
    with _shared_stores(), _quiet_output():
        for name in names:
            print(f"{name} …", file=sys.stderr, flush=True)
            begun = time.monotonic()
            rows += BENCHES[name]()
            seconds[name] = time.monotonic() - begun
            print(f"{name} took {seconds[name]:.0f} s", file=sys.stderr, flush=True)
    run = history.record(seconds, rows)
    history.append(run)
    if chosen.write_docs:
        history.write_docs(run, rows)
    if chosen.json:
        print(json.dumps(run, indent=2))
    else:
        table = Table("what", "ours", "baseline", "ratio", "target", "met")
        for row in rows:
            table.add_row(*map(Text, row.cells))
        Console(width=None if sys.stdout.isatty() else 160).print(table)
    return int(any(not row.met for row in rows))


@contextmanager
def _shared_stores() -> Iterator[None]:
    """Build the large stores once for all benchmarks, and remove them at the end unless they are to be kept."""
    if os.environ.get(stores.KEEP):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="reflectevo-bench-") as directory:
        os.environ[stores.KEEP] = directory
        try:
            yield
        finally:
            del os.environ[stores.KEEP]


@contextmanager
def _quiet_output() -> Iterator[None]:
    """Keep standard output for the result: whatever a library prints meanwhile is redirected to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


if __name__ == "__main__":
    sys.exit(main())
