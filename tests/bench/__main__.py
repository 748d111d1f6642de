"""Runs the benchmarks and prints a table: what, ours, baseline, ratio, target, met or not.

    python -m tests.bench                   all of them
    python -m tests.bench rollout terminal  some of them
    python -m tests.bench --json            as JSON, for a history

Every figure is a ratio of two measurements in one run, or a time beside its budget; machines differ.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from tests.bench import idle, importing, listing, prefix, rollout, sandbox, terminal
from tests.bench.measure import Row

BENCHES: dict[str, Callable[[], list[Row]]] = {
    "list": listing.measure,
    "sandbox": sandbox.measure,
    "import": importing.measure,
    "rollout": rollout.measure,
    "prefix": prefix.measure,
    "idle": idle.measure,
    "terminal": terminal.measure,
    "terminal-growth": terminal.growth,
}

LONG = frozenset({"terminal-growth"})
"""Benches that take many minutes, and run only when they are named."""


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
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in BENCHES]
    if unknown:
        parser.error(f"there is no bench {unknown[0]!r}; there are: {', '.join(BENCHES)}")
    rows: list[Row] = []
    for name in chosen.names or [one for one in BENCHES if one not in LONG]:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += BENCHES[name]()
    if chosen.json:
        print(json.dumps([row.as_dict() for row in rows], indent=2))
    else:
        table = Table("what", "ours", "baseline", "ratio", "target", "met")
        for row in rows:
            table.add_row(row.what, row.ours, row.baseline, f"{row.ratio:.2f}", row.target, "yes" if row.met else "NO")
        Console().print(table)
    return int(any(not row.met for row in rows))


if __name__ == "__main__":
    sys.exit(main())
