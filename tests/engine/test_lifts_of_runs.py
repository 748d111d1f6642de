"""Tests where lifts are stored: at the end of a rollout, by curation, and by an import."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.commands.init import init_workspace
from engine.exchange.import_file import import_file
from store.database.connection import open_reader
from store.rollouts.lift import has_lifts, reflection_lifts
from store.rollouts.trajectories import TrajectoryFilter, page
from store.runs.iterations import current_iteration
from store.workspace import Workspace
from tests.support.engines import EngineHarness
from tests.support.published import Maker, write_records
from tests.support.quiz import quiz_settings

Make = Callable[[str], EngineHarness]


def stored(workspace: Workspace) -> dict[int, float | None]:
    """Return the stored lift by reflection, of all reflections on training questions."""
    with closing(open_reader(workspace.database)) as reader:
        rows = reader.execute(
            "SELECT reflection_id, lift FROM trajectories WHERE reflection_id IS NOT NULL AND split = 'train'"
        )
        return {row[0]: row[1] for row in rows}


def computed(workspace: Workspace) -> dict[int, float | None]:
    """Return the lift that the texts give, by reflection."""
    with closing(open_reader(workspace.database)) as reader:
        (iteration,) = reader.execute("SELECT id FROM iterations WHERE kind = 'training'").fetchone()
        return {key: one.lift for key, one in reflection_lifts(reader, iteration).items()}


@pytest.mark.parametrize("pace", ["flow", "step"])
def test_a_run_with_further_corrections_stores_their_lifts(harness: Make, tmp_path: Path, pace: str) -> None:
    """Lists need them as soon as the corrections are complete, before the gate of the next stage is passed."""
    sections = "\n[correction]\nsamples = 4\ntemperature = 0.8\n"
    top = f'pace = "{pace}"\ngates = ["curate"]'
    one = harness(quiz_settings(tmp_path, top=top, sections=sections, train=20, test=4))
    one.start()
    one.run()
    for gate in ("attempt", "reflect", "correct") if pace == "step" else ():
        one.wait(lambda gate=gate: one.stage(gate).get("state") == "waiting")  # type: ignore[misc]
        one.issue("approve", stage=gate)
    one.wait(lambda: one.stage("curate").get("state") == "waiting")
    assert one.stage("correct")["state"] == "done"
    lifts = stored(one.workspace)
    assert lifts and lifts == computed(one.workspace)
    assert {lift for lift in lifts.values() if lift is not None} > {0.0}
    one.issue("approve", stage="curate")
    one.wait(lambda: one.stage("curate").get("state") == "done")
    assert stored(one.workspace) == lifts


def test_a_run_with_one_correction_for_each_reflection_stores_none(harness: Make, tmp_path: Path) -> None:
    """The default costs nothing: no lift is known."""
    one = harness(quiz_settings(tmp_path, train=12, test=4))
    one.start()
    one.run()
    one.wait_state("done")
    assert set(stored(one.workspace).values()) == {None}
    with closing(open_reader(one.workspace.database)) as reader:
        assert not has_lifts(reader)


def test_an_import_stores_the_lifts_that_its_retries_give(tmp_path: Path) -> None:
    """A published record holds retries as trials without a reflection."""
    maker, records = Maker(), []
    for number in range(6):
        record = maker.raw(number, reflections=2)
        for retry in range(number % 3):
            right = retry == 0
            retried = {"reflections": [], "reasoning": maker.trial("A" if right else "B", right), "is_correct": right}
            record["output"].append(record["output"][0] | retried | {"generated_answer": "B", "trial": 2})
        records.append(record)
    workspace = Workspace(tmp_path / "workspace")
    init_workspace(workspace, "demo-cpu", None, replace=False)
    path = write_records(tmp_path / "published.json", records)
    import_file(workspace, path, lambda _: None, task="quiz")
    lifts = stored(workspace)
    assert lifts == computed(workspace)
    assert sorted(lifts.values(), key=repr) == sorted([None] * 4 + [-1.0, 0.0] * 2 + [-0.5, 0.5] * 2, key=repr)
    with closing(open_reader(workspace.database)) as reader:
        iteration = current_iteration(reader)
        assert iteration is None or has_lifts(reader, iteration.id)
        best = page(reader, TrajectoryFilter(order="highest lift"), limit=1)
    assert best[0].lift == 0.5
