"""History of benchmark runs and their machines: one line of JSON per run, and the latest table in the docs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.bench.measure import Row

ROOT = Path(__file__).parents[2]
HISTORY = ROOT / "bench-history.jsonl"
DOCS = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- output -->", "<!-- end of output -->"

_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
"""CPU features that decide how fast a model computes, as Linux names them."""


def machine() -> dict[str, Any]:
    """Return the properties of the machine that affect the measurements."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = (part.strip() for part in line.partition(":"))
        if name == "model name":
            model = value
        elif name in ("flags", "Features"):
            flags |= set(value.split())
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "python": platform.python_version(),
    }


def record(seconds: Mapping[str, float], rows: Sequence[Row]) -> dict[str, object]:
    """Return the record of one run; `seconds` holds the duration of each benchmark by name."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "load": round(os.getloadavg()[2], 2),
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "benches": {name: round(taken) for name, taken in seconds.items()},
        "seconds": round(sum(seconds.values())),
        "rows": [row.as_dict() for row in rows],
    }


def append(run: dict[str, object]) -> None:
    """Append a run to the history, which git ignores."""
    with HISTORY.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")


def write_docs(run: dict[str, object], rows: Sequence[Row]) -> None:
    """Write the table and the machine into docs/performance.md, between its markers."""
    found = machine()
    flags = ", ".join(found["flags"]) or "no vector instructions"
    where = (
        f"{found['cores']} cores of {found['cpu']} ({flags}), {found['memory_gib']} GiB, Python {found['python']}; "
        f"{run['date']}, commit {str(run['commit'])[:10]}{' and changes' if run['changed'] else ''}, "
        f"{run['seconds']} s."
    )
    lines = ["| what | ours | baseline | ratio | target | met |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row.cells)} |" for row in rows]
    text = DOCS.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCS} has no place for the table: {BEGIN} … {END}")
    DOCS.write_text("\n".join([f"{before}{BEGIN}", where, "", *lines, f"{END}{after}"]), encoding="utf-8")


def _git(*arguments: str) -> str:
    """Return the output of a git command; empty where there is no git or no repository."""
    try:
        told = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return told.stdout.strip()
