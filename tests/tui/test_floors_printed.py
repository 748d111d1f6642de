"""`status` and the summary of `run` name floor, own retry and what follows, for the known numbers of the demo."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from reflectevo_tui.cli import app
from reflectevo_tui.engine_client.follow import COMPLETED, follow
from reflectevo_tui.engine_client.status import collect_status, describe_status
from store.database.connection import write
from store.evaluation.intervals import wilson
from store.runs import iterations
from store.runs.policies import decide_policy, put_evaluation
from store.workspace import Workspace
from tests.support.measured import ORACLE
from tests.support.rows import Rows

RIGHT = {"p00": {"acc_t1": 40, "acc_t2": 47, "acc_retry": 50}, "p01": {"acc_t1": 41, "acc_t2": 65, "acc_retry": 65}}
"""Right answers of 90 in the demo: Acc@t2 52.2 and 72.2 %, own retry 55.6 and 72.2 %; its floor is 77.8 %."""


def metrics(name: str, floor: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        key: {"value": n / 90, "low": wilson(n, 90).low, "high": wilson(n, 90).high, "n": 90}
        for key, n in RIGHT[name].items()
    }
    if floor:
        found["floor_t2"] = {"value": 70 / 90, "low": None, "high": None, "n": 90, "by_options": 0.0}
    return found


def finished(root: Path, *, floor: bool = True, protocol: str = ORACLE, state: str = "done") -> Workspace:
    """Return a workspace whose first iteration ended with the numbers of the demo."""
    workspace = Workspace(root)
    workspace.create()
    rows = Rows(workspace.database)
    with write(rows.connection):
        child = rows.add_policy("p01", rows.policy, "candidate", rows.iteration)
        decide_policy(rows.connection, child, "promoted", "not worse than its parent")
        for policy, name in ((rows.policy, "p00"), (child, "p01")):
            put_evaluation(
                rows.connection,
                policy_id=policy,
                iteration_id=rows.iteration,
                protocol=protocol,
                task="",
                n=90,
                metrics=metrics(name, floor and protocol == ORACLE),
            )
        for stage in iterations.stages(rows.connection, rows.iteration):
            iterations.set_stage(rows.connection, rows.iteration, stage.name, "done")
        iterations.update_iteration(rows.connection, rows.iteration, child_id=child, state=state)
    rows.connection.close()
    return workspace


def summary(workspace: Workspace) -> str:
    out = io.StringIO()
    assert follow(workspace, Console(file=out, width=400)) == COMPLETED
    return out.getvalue()


def test_the_summary_of_the_demo_claims_no_gain_by_reflection(tmp_path: Path) -> None:
    text = summary(finished(tmp_path / "w"))
    assert "floor 77.8 % (not above) · own retry without a reflection 55.6 % (45.3–65.4)" in text
    assert "floor 77.8 % (not above) · own retry without a reflection 72.2 % (62.2–80.4)" in text
    assert (
        "Acc@t2 rose from 52.2 % to 72.2 %, but guessing reaches 77.8 % without a model, and asked again without a "
        "reflection p01 reaches 72.2 % as well: this is no gain by reflection."
    ) in text
    assert text.index("before  p00") < text.index("own retry without") < text.index("after   p01")


def test_status_and_its_json_hold_the_same_numbers(tmp_path: Path) -> None:
    workspace = finished(tmp_path / "w")
    found = json.loads(CliRunner().invoke(app, ["status", "-w", str(workspace.root), "--json"]).stdout)
    iteration = found["iteration"]
    assert iteration["child"]["floor_t2"]["value"] == pytest.approx(70 / 90)
    assert iteration["child"]["acc_retry"]["value"] == iteration["child"]["acc_t2"]["value"]
    assert iteration["gain"]["verdict"] == "none"
    text = describe_status(collect_status(workspace))
    assert text.count("floor 77.8 % (not above)") == 2 and "this is no gain by reflection" in text


def test_an_old_workspace_says_that_its_floor_is_not_computed(tmp_path: Path) -> None:
    text = summary(finished(tmp_path / "w", floor=False))
    assert text.count("floor not computed") == 2
    assert "asked again without a reflection p01 reaches 72.2 % as well: this is no gain by reflection" in text


def test_without_an_oracle_no_floor_is_printed(tmp_path: Path) -> None:
    text = summary(finished(tmp_path / "w", protocol="oracle-free/0123456789"))
    assert "floor" not in text and "Acc@t2 rose from 52.2 % to 72.2 %" in text


def test_while_work_runs_no_gain_is_stated(tmp_path: Path) -> None:
    """The status is read twice a second then, and the policy may still be measured."""
    assert collect_status(finished(tmp_path / "w", state="running"))["iteration"]["gain"] is None
