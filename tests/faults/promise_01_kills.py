"""Promises 1 and 2: random SIGKILLs of engine and worker processes in every stage and in the middle of every write to
disk.

After each kill every row that a reader had seen is still there and the file is intact; after the last kill of a run
it continues to exactly the rows, texts, sets and policies of an uninterrupted run. Both promises use the same kills.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from reflectevo_tui.engine_client.process import EngineUnavailable, engine_command
from store.errors import DirectiveRefused
from store.workspace import Workspace
from tests.faults.results import Result
from tests.faults.scenes import INJECTED, Scene, draw, straight

QUIZ = {"train": 16, "test": 6}
_KILLS_A_RUN = 8
_DELAY = 0.06

SPOTS = {
    "engine": 40,
    "child": 25,
    "engine between statements": 20,
    "child between statements": 25,
    "policy save": 12,
    "checkpoint": 8,
    "migration": 8,
}
"""Targets of the kills, with their weights."""


@dataclass
class Toll:
    """Counts of the kills and their outcomes."""

    kills: int = 0
    unlost: int = 0
    resumed: int = 0
    spots: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)


_TOLLS: dict[tuple[int, int], Toll] = {}


def toll(n: int, seed: int) -> Toll:
    """Return the outcome of `n` kills; a second call with the same arguments returns the stored result."""
    if (n, seed) not in _TOLLS:
        _TOLLS[n, seed] = _inflict(n, seed)
    return _TOLLS[n, seed]


def run(n: int, seed: int) -> Result:
    """Check that no acknowledged row is lost and the integrity check passes every time."""
    found = toll(n, seed)
    spots = ", ".join(f"{count} {spot}" for spot, count in found.spots.most_common())
    stages = ", ".join(f"{name} {count}" for name, count in sorted(found.stages.items()))
    trouble = f" First trouble: {found.troubles[0]}" if found.troubles else ""
    return Result(
        1,
        "kill -9: no acknowledged row lost, integrity ok",
        n,
        found.unlost,
        found.unlost >= n,
        f"Hit: {spots}; during: {stages}.{trouble}",
    )


def _inflict(n: int, seed: int) -> Toll:
    chance, found = draw(seed), Toll()
    with tempfile.TemporaryDirectory(prefix="reflectevo-faults-") as directory:
        root = Path(directory)
        wanted = straight(root / "straight", **QUIZ)
        number = 0
        while found.kills < n:
            number += 1
            _one_run(root / f"run{number}", chance, min(_KILLS_A_RUN, n - found.kills), wanted, found)
    return found


def _one_run(root: Path, chance: random.Random, kills: int, wanted: dict[str, object], found: Toll) -> None:
    """Complete one run with some kills, and count which checks passed."""
    root.mkdir()
    before = found.kills
    spots = chance.choices(list(SPOTS), list(SPOTS.values()), k=kills)
    migrations = spots.count("migration")
    for _ in range(migrations):
        _interrupt_migration(root, chance, found)
    one = Scene(root, **QUIZ)
    try:
        one.watch()
        for spot in (spot for spot in spots if spot != "migration"):
            # A finished step can't be killed any more; the next run takes the remaining kills.
            if one.iteration_state() == "done":
                break
            _hit(one, spot, chance, found)
        one.start(0.0)
        for _ in range(40):
            one.go_on()
            if one.until(lambda: one.iteration_state() in ("done", "failed")) and one.iteration_state() == "done":
                break
        one.unwatch()
        same = one.outcome() == wanted
        if same:
            found.resumed += found.kills - before
        else:
            different = [name for name, value in one.outcome().items() if value != wanted[name]]
            found.troubles.append(f"{root.name} ended with other {', '.join(different)} than without a kill")
    finally:
        one.shut_down()


def _interrupt_migration(root: Path, chance: random.Random, found: Toll) -> None:
    """Kill the creation of a workspace between two statements of its migration; the next one completes it."""
    marker = root / "killed"
    settings = root / "interrupted.toml"
    settings.write_text('name = "x"\nmodel = "none"\n[[tasks]]\nkind = "math"\nname = "m"\npath = "x"\n')
    plan = {"kill": {"at": "sql", "match": "CREATE|PRAGMA|BEGIN|COMMIT", "n": chance.randint(1, 60)}, "only": ["init"]}
    plan["kill"]["marker"] = str(marker)  # type: ignore[index]
    path = os.pathsep.join([str(INJECTED), os.environ.get("PYTHONPATH", str(Path(__file__).parents[2]))])
    workspace = root / "workspace"
    ended = subprocess.run(
        engine_command("init", "-w", str(workspace), "--settings", str(settings)),
        env={**os.environ, "REFLECTEVO_FAULTS": json.dumps(plan), "PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    found.kills += 1
    found.spots["migration"] += 1
    # The next command (the scene's own) has to find a workspace that it can complete.
    whole = subprocess.run(
        engine_command("init", "-w", str(workspace), "--settings", str(settings)),
        capture_output=True,
        text=True,
        check=False,
    )
    marker.unlink(missing_ok=True)
    if whole.returncode == 0 and _integrity(Workspace(workspace)):
        found.unlost += 1
    else:
        found.troubles.append(f"after a kill in a migration (exit {ended.returncode}): {whole.stderr.strip()}")


def _integrity(workspace: Workspace) -> bool:
    from contextlib import closing

    from store.database.connection import open_reader

    with closing(open_reader(workspace.database)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


def _hit(one: Scene, spot: str, chance: random.Random, found: Toll) -> None:
    """Start the engine, let the run continue, kill it at the chosen point, and check the remaining rows."""
    marker = one.root / f"killed-{found.kills}"
    plan = _plan(spot, chance, marker)
    try:
        one.start_with(plan, _DELAY)
        one.go_on()
    except (EngineUnavailable, DirectiveRefused):
        # The kill came before the engine was ready, or before it answered.
        one.until(lambda: one.engine_pid() is None)
    if plan is None:
        time.sleep(chance.uniform(0.0, 1.0))
        if spot == "child":
            one.until(lambda: one.kill_child() or one.iteration_state() == "done" or not one.engine_pid())
            time.sleep(chance.uniform(0.0, 0.4))
    else:
        one.until(lambda: marker.exists() or one.iteration_state() in ("done", "failed") or not one.engine_pid())
    found.stages[_stage(one)] += 1
    one.crash()
    found.kills += 1
    found.spots[spot if plan is None or marker.exists() else "engine"] += 1
    lost = one.lost()
    if not lost and one.intact():
        found.unlost += 1
    else:
        found.troubles.append(f"after a kill at {spot}: {len(lost)} rows lost, integrity {one.intact()}")


def _plan(spot: str, chance: random.Random, marker: Path) -> dict[str, object] | None:
    kill: dict[str, object]
    only = ["child"]
    if spot == "policy save":
        kill = {"at": "file", "match": r"policies/", "n": chance.randint(1, 24)}
    elif spot == "checkpoint":
        kill = {"at": "file", "match": r"training/r1", "n": chance.randint(1, 8)}
    elif spot == "child between statements":
        kill = {"at": "sql", "match": "INSERT|UPDATE|COMMIT|BEGIN", "n": int(2 ** chance.uniform(0, 9))}
    elif spot == "engine between statements":
        kill = {"at": "sql", "match": "INSERT|UPDATE|COMMIT|BEGIN", "n": chance.randint(1, 60)}
        only = ["serve"]
    else:
        return None
    return {"kill": {**kill, "marker": str(marker)}, "only": only}


def _stage(one: Scene) -> str:
    iteration = one.status()["iteration"]
    if not iteration:
        return "before"
    running = [stage["name"] for stage in iteration["stages"] if stage["state"] == "running"]
    return running[-1] if running else str(iteration["state"])
