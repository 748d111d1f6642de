"""Tests a real SIGKILL of a real engine in every stage: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from engine.supervisor.child_processes import tagged_processes
from tests.support.engines import REFLECTED, WORK, EngineHarness, scripted_settings
from tests.support.waiting import run, wait_for_exit

Make = Callable[[str], EngineHarness]

STAGES = ("attempt", "reflect", "correct", "curate", "train", "evaluate")


def _reached(one: EngineHarness, stage: str) -> bool:
    """Check whether a stage is running, with at least one item done where it counts items."""
    found = one.stage(stage)
    if stage in ("curate", "evaluate"):
        return found.get("state") == "running"
    return found.get("state") == "running" and found["done"] > 0


def test_killed_in_every_stage_it_continues_to_the_same_rows(harness: Make) -> None:
    """A run killed once in each stage ends with exactly the rows and texts of an uninterrupted one."""
    settings = scripted_settings()
    straight, killed = harness(settings), harness(settings)
    straight.start()
    straight.run()
    straight.wait_state("done")

    killed.start(delay=0.04)
    killed.run()
    for stage in STAGES:
        killed.wait(lambda stage=stage: _reached(killed, stage), every=0.01)
        acknowledged = set(killed.rows(WORK))
        killed.kill()
        assert acknowledged <= set(killed.rows(WORK)), f"rows were lost by a kill during {stage}"
        assert killed.rows("PRAGMA integrity_check") == [("ok",)]
        killed.start(delay=0.04)
        killed.wait(lambda: killed.status()["engine"]["state"] == "running")
    status = killed.wait_state("done")

    assert status["iteration"]["complete"]
    assert killed.rows(WORK) == straight.rows(WORK)
    assert killed.rows(REFLECTED) == straight.rows(REFLECTED)
    trained = "SELECT set_name, included, reason, count(*) FROM curated GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    assert killed.rows(trained) == straight.rows(trained)
    assert len(killed.rows("SELECT id FROM policies")) == 2
    # Nothing is in the list twice, and everything can be found by its text.
    assert killed.rows("SELECT count(*) FROM trajectories") == straight.rows("SELECT count(*) FROM trajectories")
    assert killed.rows("SELECT count(*) FROM trajectory_search WHERE trajectory_search MATCH 'step'") == straight.rows(
        "SELECT count(*) FROM trajectory_search WHERE trajectory_search MATCH 'step'"
    )


def test_children_die_with_their_engine(harness: Make) -> None:
    """No worker process continues writing after its supervisor was killed."""
    one = harness(scripted_settings())
    one.start(delay=0.2)
    one.run()
    one.wait(lambda: _reached(one, "attempt"))
    assert tagged_processes(one.workspace), "a rollout child carries the tag"
    one.kill()
    one.wait(lambda: not tagged_processes(one.workspace))


def test_orphans_are_swept_at_takeover(harness: Make, tmp_path: Path) -> None:
    """The next engine ends a leftover process that carries the workspace's tag, and leaves an untagged one alone."""
    import subprocess
    import sys

    from engine.stages.job import TAG
    from engine.supervisor.child_processes import tag_of

    one = harness(scripted_settings())
    sleeper = [sys.executable, "-c", "import time; time.sleep(3600)"]
    tagged = subprocess.Popen(sleeper, env={**os.environ, TAG: tag_of(one.workspace)})
    stranger = subprocess.Popen(sleeper)
    try:
        one.wait(lambda: tagged.pid in tagged_processes(one.workspace))
        one.start()
        assert wait_for_exit(tagged) == -signal.SIGKILL
        assert stranger.poll() is None
    finally:
        for process in (tagged, stranger):
            process.kill()
            process.wait()


def test_a_killed_child_is_started_again(harness: Make) -> None:
    """A rollout process killed by the kernel (as when out of memory) is restarted, and no work is repeated."""
    one = harness(scripted_settings())
    one.start(delay=0.05)
    one.run()
    one.wait(lambda: _reached(one, "attempt"))
    for pid in tagged_processes(one.workspace):
        os.kill(pid, signal.SIGKILL)
    one.wait(lambda: any("is being restarted" in event[0] for event in one.rows("SELECT text FROM events")))
    assert one.wait_state("done")["iteration"]["complete"]


def test_two_engines_one_wins(harness: Make) -> None:
    """A second engine is refused with the name of the holder of the workspace; the first is not disturbed."""

    from reflectevo_tui.engine_client.process import engine_command

    one = harness(scripted_settings())
    first = one.start()
    second = run(engine_command("serve", "-w", str(one.workspace.root)))
    assert second.returncode == 1
    assert f"pid {first}" in second.stderr and "held by another engine" in second.stderr
    assert one.engine_pid() == first
