"""Tests of rows that something else has changed: they cost their own numbers, and hide no other row."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.control.telemetry import add_metrics, metrics
from store.database.rows import load_json
from store.rollouts import control_results as results
from store.rollouts.trajectory_detail import detail
from store.runs import policies
from store.runs.lineage import lineage
from tests.support.rows import Rows, run_settings


@pytest.mark.parametrize(
    ("stored", "value"),
    [
        ('{"acc_t1": {"value": NaN, "low": 0.1}}', None),
        ('{"acc_t1": {"value": Infinity}}', None),
        ('{"acc_t1": {"value": 9e999}}', None),
        ('{"acc_t1": {"value": "x", "low": [1], "n": "q"}}', None),
        ('{"acc_t1": {"value": true}}', None),
        ('{"acc_t1": 3}', None),
        ("[1, 2]", None),
        ("3", None),
        ('{"acc_t1": ', None),
        ('{"acc_t1": {"value": 0.5}, "acc_t2": 3}', 0.5),
        ('{"acc_t1": {"value": 1}}', 1),
    ],
)
def test_metrics_that_are_none_are_not_measured(stored: str, value: float | None, tmp_path: Path) -> None:
    rows = Rows(tmp_path / "reflectevo.db", run_settings())
    for policy in (rows.policy, rows.add_policy("p01", rows.policy, "promoted", rows.iteration)):
        policies.put_evaluation(
            rows.connection,
            policy_id=policy,
            iteration_id=None,
            protocol="oracle/a",
            task="",
            n=9,
            metrics={"acc_t1": {"value": 0.25}},
        )
    rows.connection.execute("UPDATE evaluations SET metrics = ? WHERE policy_id = ?", (stored, rows.policy))
    found = {one.policy_id: one.metrics for one in policies.evaluations(rows.connection, rows.run)}
    assert found[rows.policy].get("acc_t1", {}).get("value") == value
    assert all(isinstance(metric, dict) for metric in found[rows.policy].values())
    nodes = lineage(rows.connection, rows.run)
    assert [node.shown.metrics.get("acc_t1", {}).get("value") for node in nodes if node.shown] == [value, 0.25]
    rows.connection.close()


def test_json_that_is_no_object_is_an_empty_one() -> None:
    assert load_json(None) == load_json("") == load_json("{") == {}
    assert load_json('{"a": NaN, "b": [-Infinity]}') == {"a": None, "b": [None]}


@pytest.mark.parametrize("stored", ["", "{", "{}", "[]", '{"analysis": 3, "wrong": 1, "split": "dev"}', "3"])
def test_damaged_results_of_controls_count_as_not_measured(stored: str, tmp_path: Path) -> None:
    rows = Rows(tmp_path / "reflectevo.db", run_settings())
    whole = {"analysis": {"arms": {}}, "wrong": 2, "split": "dev"}
    for number, protocol in enumerate(("oracle/a", "oracle/b")):
        results.put_control_results(
            rows.connection,
            policy_id=rows.policy,
            protocol=protocol,
            first_answers="own",
            iteration_id=rows.iteration,
            request={},
            results=whole,
        )
        rows.connection.execute("UPDATE control_results SET created = ? WHERE protocol = ?", (number, protocol))
    rows.connection.execute("UPDATE control_results SET results = ? WHERE protocol = 'oracle/b'", (stored,))
    assert [one.protocol for one in results.control_results(rows.connection, rows.run)] == ["oracle/a"]
    newest = results.newest_control_results(rows.connection, rows.policy)
    assert newest is not None and newest.protocol == "oracle/a"
    assert results.has_control_results(rows.connection, rows.policy, "oracle/a", "own", {})
    assert not results.has_control_results(rows.connection, rows.policy, "oracle/b", "own", {}), "measured again"
    rows.connection.close()


@pytest.mark.parametrize("table", ["questions", "attempts", "reflections"])
def test_a_trajectory_whose_parts_are_gone_is_not_there(table: str, tmp_path: Path) -> None:
    rows = Rows(tmp_path / "reflectevo.db", run_settings())
    question = rows.question("q")
    rows.corrected(rows.attempt(question, "incorrect"), question)
    (trajectory,) = (row[0] for row in rows.connection.execute("SELECT id FROM trajectories LIMIT 1"))
    assert detail(rows.connection, trajectory) is not None
    rows.connection.execute("PRAGMA foreign_keys = OFF")
    rows.connection.execute(f"DELETE FROM {table}")
    found = detail(rows.connection, trajectory)
    assert found is None or (table == "reflections" and found.reflection is None)
    rows.connection.close()


def test_points_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "reflectevo.db", run_settings())
    values = {1: 0.5, 2: None, 3: 2}
    for step, value in values.items():
        add_metrics(rows.connection, rows.iteration, "train", step, {"loss": value})
    for step, stored in enumerate(("9e999", "-9e999", "'x'", "x'00'"), start=4):
        add_metrics(rows.connection, rows.iteration, "train", step, {"loss": 1.0})
        rows.connection.execute(f"UPDATE metrics SET value = {stored} WHERE step = ?", (step,))
    assert {one.step: one.value for one in metrics(rows.connection, rows.iteration, "train")} == values
    rows.connection.close()
