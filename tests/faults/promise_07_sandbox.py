"""Promise 7: every hostile program in every tier as root and as an ordinary user: no escape, termination in time,
nothing left behind. The programs and their batch are those of `test_sandbox_hostile.py`."""

from __future__ import annotations

import base64
import statistics
import time
from typing import Any

import pytest

from engine.tasks.sandbox import probe
from engine.tasks.sandbox.tiers import TIERS
from tests.faults.hostile_programs import Hostile
from tests.faults.results import Result
from tests.faults.test_sandbox_hostile import PROGRAMS, USERS, Batch, run_batch
from tests.support.sandboxed import run_python

COST_SECONDS = 0.03
_RUNS = 31


def run(n: int, seed: int) -> Result:
    """Run all programs in the first `n` of the combinations of tier and user."""
    combinations = [(tier, user) for tier in TIERS for user in USERS][:n]
    required, held = 0, 0
    notes: list[str] = []
    for tier, user in combinations:
        required += len(PROGRAMS)
        try:
            batch = run_batch(tier, user)
        except pytest.skip.Exception as reason:
            notes.append(f"{tier} as {user}: {reason}")
            continue
        broken = next((one["reason"] for one in batch.report["probe"] if one["name"] == tier and not one["works"]), "")
        if broken:
            notes.append(f"{tier} doesn't work for {user}: {broken}")
            continue
        bad = [name for name, hostile in PROGRAMS.items() if not _held(hostile, batch.report["outcomes"][name], batch)]
        clean = not batch.left and not batch.report["contacts"] and batch.report["victim_lives"]
        held += (len(PROGRAMS) - len(bad)) if clean and batch.report["untouched"] else 0
        notes += [f"{tier} as {user}: {', '.join(bad)}"] if bad else []
    costs = {tier.name: _cost(tier.name) for tier in probe() if tier.works}
    cheap = all(cost <= COST_SECONDS for cost in costs.values())
    cost = ", ".join(f"{name} {1000 * cost:.0f} ms" for name, cost in costs.items())
    detail = (
        f"{len(PROGRAMS)} programs × {len(combinations)} (tier and user); a program costs (median) {cost}, "
        f"{1000 * COST_SECONDS:.0f} ms allowed."
    )
    return Result(
        7,
        "hostile programs held",
        required,
        held,
        held == required and cheap,
        " ".join([detail, *(f"{note}." for note in notes)]),
    )


def _held(hostile: Hostile, outcome: dict[str, Any], batch: Batch) -> bool:
    """Check that a program ended as expected and in time, attempted its attack, and failed."""
    streams = [base64.b64decode(outcome[name]).decode("utf-8", "replace") for name in ("stdout", "stderr")]
    ended = outcome["state"] in hostile.ends and hostile.says in outcome["reason"]
    in_time = outcome["seconds"] <= hostile.limits["wall_seconds"] + 1.0
    to_its_end = hostile.prints in streams[0] and (outcome["exit_code"], streams[1]) == (0, "")
    tried = outcome["state"] != "finished" or to_its_end
    return ended and in_time and tried and not any("ESCAPED" in one or batch.secret in one for one in streams)


def _cost(tier: str) -> float:
    times = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        run_python("pass", tier=tier)
        times.append(time.perf_counter() - started)
    return statistics.median(times)
