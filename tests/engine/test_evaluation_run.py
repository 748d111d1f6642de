"""Tests of evaluations under the supervisor: on a new run, on an existing one, after an interruption, and what they
store.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from store.settings.toml_file import parse_settings
from tests.support.engines import REFLECTED, WORK, EngineHarness
from tests.support.quiz import quiz_settings

Make = Callable[[str], EngineHarness]


def settings_of(text: str, **changes: dict[str, Any]) -> dict[str, Any]:
    """Settings as the command line passes them to a directive."""
    values = parse_settings(text).model_dump(mode="json")
    for section, change in changes.items():
        values[section] |= change
    return values


def measured(one: EngineHarness) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Stored metrics by policy, feedback and task."""
    rows = one.rows(
        "SELECT p.name, e.protocol, e.task, e.metrics FROM evaluations e JOIN policies p ON p.id = e.policy_id"
    )
    return {(name, protocol.split("/")[0], task): json.loads(metrics) for name, protocol, task, metrics in rows}


def finished(one: EngineHarness) -> bool:
    iteration = one.status()["iteration"]
    return iteration is not None and iteration["kind"] == "evaluation" and iteration["state"] == "done"


def test_a_fresh_run_is_prepared_and_its_base_measured_with_everything(harness: Make, tmp_path: Path) -> None:
    """It creates no training iteration; the metrics of rounds, votes, retries and both protocols are stored."""
    text = quiz_settings(tmp_path, train=4, test=40)
    one = harness(text)
    one.start()
    everything = {"protocol": "both", "rounds": 3, "vote_samples": 3, "retry_samples": 2}
    words = one.issue("evaluate", settings=settings_of(text, evaluation=everything), base_directory=str(tmp_path))
    assert words == "run 'scripted' will be prepared, then its policy p00 evaluated"
    one.wait(lambda: finished(one))
    status = one.status()
    assert status["iteration"]["complete"] and status["iteration"]["child"] is None
    assert status["iteration"]["reason"].startswith("p00: oracle Acc@t1 ")
    stage = next(stage for stage in status["iteration"]["stages"] if stage["name"] == "evaluate")
    assert stage["done"] == stage["total"] > 0, "the answers that both protocols share count for both"
    assert one.rows("SELECT kind, number FROM iterations") == [("evaluation", 1)]
    assert one.rows("SELECT count(*) FROM attempts WHERE protocol = ''") == [(0,)]
    found = measured(one)
    assert set(found) == {("p00", feedback, task) for feedback in ("oracle", "oracle-free") for task in ("", "sums")}
    oracle, free = found["p00", "oracle", ""], found["p00", "oracle-free", ""]
    always = {f"acc_t{turn}" for turn in (1, 2, 3, 4)} | {"acc_vote_rounds", "acc_vote", "acc_vote_budget", "delta"}
    tokens = {f"tokens_{name}" for name in ("attempt", "reflection", "correction", "retry", "vote", "vote_budget")}
    assert always | tokens | {"i_to_c", "c_to_i", "retry_i_to_c"} <= set(oracle) & set(free)
    assert "acc_retry_budget" in oracle and "acc_retry_budget" not in free
    assert oracle["acc_t1"] == free["acc_t1"], "the same first answers"
    assert oracle["c_to_i"]["n"] == 0 < free["c_to_i"]["n"], "only without an oracle right answers are tried again"
    assert oracle["acc_t1"]["value"] <= oracle["acc_t2"]["value"] <= oracle["acc_t4"]["value"]
    floor = oracle.pop("floor_t2")
    assert "floor_t2" not in free, "without an oracle nobody is told to guess again"
    assert (floor["n"], floor["by_options"], floor["low"]) == (oracle["acc_t2"]["n"], 0.0, None)
    assert 0 <= floor["value"] <= 1 and floor == found["p00", "oracle", "sums"]["floor_t2"]
    for metrics in (oracle, free):
        assert all(set(metric) == {"value", "low", "high", "n"} for metric in metrics.values())
        assert metrics["tokens_vote_budget"]["value"] <= metrics["tokens_vote"]["value"]


def test_an_evaluation_in_between_changes_nothing_of_the_iterations(harness: Make, tmp_path: Path) -> None:
    """Texts, numbers and parents of the iterations are the same as without it, and a parent that was measured under
    their settings is not measured again.
    """
    text = quiz_settings(tmp_path, sections='[evaluation]\npromote = "always"', train=8, test=4)
    plain, one = harness(text), harness(text)
    for engine in (plain, one):
        engine.start()
    one.issue("evaluate", settings=settings_of(text))
    one.wait(lambda: finished(one))
    answers = one.rows("SELECT count(*) FROM attempts")
    for engine in (plain, one):
        engine.run()
        engine.wait(lambda engine=engine: (engine.status()["iteration"] or {}).get("kind") == "training")  # type: ignore[misc]
        engine.wait_state("done")
    assert one.status()["iteration"]["number"] == 1
    assert one.rows(WORK) == plain.rows(WORK)
    assert one.rows(REFLECTED) == plain.rows(REFLECTED)
    again = one.rows("SELECT count(*) FROM attempts WHERE policy_id = 1 AND protocol <> ''")
    assert again == answers, "the base policy's held-out answers are those of the evaluation"
    # A policy by name, with votes: only the votes' protocol is new.
    one.issue("evaluate", settings=settings_of(text, evaluation={"vote_samples": 2}), policy="p01")
    one.wait(lambda: finished(one))
    assert one.rows("SELECT kind, number FROM iterations ORDER BY id") == [
        ("evaluation", 1),
        ("training", 1),
        ("evaluation", 2),
    ]
    one.run()
    one.wait(lambda: one.status()["iteration"]["kind"] == "training" and one.status()["iteration"]["state"] == "done")
    assert (one.status()["iteration"]["number"], one.status()["iteration"]["parent"]["name"]) == (2, "p01")


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_an_evaluation_that_is_interrupted_goes_on(harness: Make, tmp_path: Path, way: str) -> None:
    """Stopped and resumed, or killed and continued by another engine: the same answers, none twice."""
    text = quiz_settings(tmp_path, train=2, test=12)
    values = settings_of(text, evaluation={"protocol": "both", "rounds": 2, "vote_samples": 2})
    straight, broken = harness(text), harness(text)
    straight.start()
    straight.issue("evaluate", settings=values)
    broken.start(delay=0.1)
    broken.issue("evaluate", settings=values)
    broken.wait(lambda: broken.rows("SELECT count(*) FROM attempts")[0][0] > 5)
    if way == "stop":
        broken.issue("pause")
        broken.issue("resume")
        broken.issue("stop")
        broken.wait_state("stopped")
        broken.issue("resume")
    else:
        broken.kill()
        broken.start()
    for one in (straight, broken):
        one.wait(lambda one=one: finished(one))  # type: ignore[misc]
    assert broken.rows(WORK) == straight.rows(WORK)
    assert broken.rows(REFLECTED) == straight.rows(REFLECTED)
    assert measured(broken).keys() == measured(straight).keys()


def test_the_chosen_split_is_measured(harness: Make, tmp_path: Path) -> None:
    """Questions reserved for tuning never mix with the held-out ones."""
    text = quiz_settings(tmp_path, train=5, test=3).replace("train = 5", "train = 4\ndev = 1")
    one = harness(text)
    one.start()
    one.issue("evaluate", settings=settings_of(text))
    one.wait(lambda: finished(one))
    one.issue("evaluate", settings=settings_of(text, evaluation={"split": "dev"}))
    one.wait(lambda: finished(one) and one.status()["iteration"]["number"] == 2)
    asked = one.rows(
        "SELECT i.number, q.split, count(DISTINCT q.question_id) FROM attempts a"
        " JOIN run_questions q USING (question_id) JOIN iterations i ON i.id = a.iteration_id GROUP BY 1, 2"
    )
    assert asked == [(1, "test", 3), (2, "dev", 1)]


def test_an_engine_adds_the_floor_to_evaluations_of_an_earlier_version(harness: Make, tmp_path: Path) -> None:
    """They were stored without one; everything else of them stays as it is."""
    text = quiz_settings(tmp_path, train=4, test=8)
    one = harness(text)
    one.start()
    one.issue("evaluate", settings=settings_of(text), base_directory=str(tmp_path))
    one.wait(lambda: finished(one))
    one.shut_down()
    before = measured(one)
    with closing(sqlite3.connect(one.workspace.database)) as database, database:
        database.execute("UPDATE evaluations SET metrics = json_remove(metrics, '$.floor_t2')")
    assert not any("floor_t2" in metrics for metrics in measured(one).values())
    one.start()
    one.wait(lambda: all("floor_t2" in metrics for metrics in measured(one).values()))
    assert measured(one) == before
