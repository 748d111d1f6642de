"""Tests of real runs that decide on dev questions: test questions are measured apart, and draws can be fresh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.engines import EngineHarness, scripted_settings
from tests.support.quiz import quiz_settings

Make = Callable[[str], EngineHarness]


def dev_run(directory: Path, top: str = "", sections: str = "", dev: int = 6) -> str:
    """A run over sums that reserves dev questions."""
    text = quiz_settings(directory, top, sections, train=12 + dev, test=5)
    return text.replace("train = 18", f"train = 12\ndev = {dev}")


def measured(one: EngineHarness) -> list[tuple[object, ...]]:
    """Policy, split and number of questions of each evaluation over all tasks."""
    return one.rows(
        "SELECT p.name, e.split, e.n FROM evaluations e JOIN policies p ON p.id = e.policy_id WHERE e.task = ''"
        " ORDER BY e.id"
    )


def test_a_promoted_policy_is_measured_on_test_questions_once_and_apart(harness: Make, tmp_path: Path) -> None:
    """The decision rests on dev questions; base and child are then measured on test, before the next iteration."""
    one = harness(dev_run(tmp_path, "iterations = 2", '[evaluation]\npromote = "always"'))
    one.start()
    one.run()
    one.wait(lambda: len(one.rows("SELECT 1 FROM iterations WHERE state = 'done'")) == 4)
    kinds = one.rows("SELECT kind, number, json_extract(settings, '$.evaluation.split') FROM iterations ORDER BY id")
    assert kinds == [
        ("training", 1, "dev"),
        ("evaluation", 1, "test"),
        ("training", 2, "dev"),
        ("evaluation", 2, "test"),
    ]
    assert measured(one) == [
        ("p00", "dev", 6),
        ("p01", "dev", 6),
        ("p00", "test", 5),
        ("p01", "test", 5),
        ("p02", "dev", 6),
        ("p02", "test", 5),
    ]
    reasons = [str(reason) for (reason,) in one.rows("SELECT reason FROM policies WHERE name <> 'p00' ORDER BY id")]
    assert all("decided on dev questions" in reason and "n = 6" in reason for reason in reasons)
    (last,) = one.rows("SELECT reason FROM iterations ORDER BY id DESC LIMIT 1")
    assert "on test questions" in str(last[0]) and "p00" in str(last[0]) and "p02" in str(last[0])


def test_a_run_without_dev_questions_says_that_it_decides_on_reported_ones(harness: Make, tmp_path: Path) -> None:
    """Old settings files keep working; their policies carry the remark, and nothing is measured twice."""
    one = harness(quiz_settings(tmp_path, sections='[evaluation]\npromote = "always"', train=8, test=4))
    one.start()
    one.run()
    status = one.wait_state("done")
    assert status["iteration"]["kind"] == "training" and status["iteration"]["split"] == "test"
    assert "their results favour promoted policies" in status["iteration"]["child"]["reason"]
    assert measured(one) == [("p00", "test", 4), ("p01", "test", 4)]


def test_few_questions_leave_the_child_to_the_operator_without_a_gate(harness: Make, tmp_path: Path) -> None:
    """The rule can't tell, so that the iteration waits; a rejection then measures what the run ends with."""
    one = harness(dev_run(tmp_path, sections='[evaluation]\nundecided = "operator"'))
    one.start()
    one.run()
    status = one.wait_state("waiting")
    assert status["iteration"]["gate"] == "promote"
    assert status["iteration"]["reason"].startswith(("the rule leaves it to you: can't tell with n = 6",))
    one.issue("reject")
    one.wait(lambda: len(one.rows("SELECT 1 FROM iterations WHERE state = 'done'")) == 2)
    assert measured(one)[2:] == [("p00", "test", 5)]
    assert one.rows("SELECT state FROM policies WHERE name = 'p01'") == [("rejected",)]


def test_fresh_dev_questions_are_answered_by_parent_and_child_alike(harness: Make) -> None:
    """Every iteration draws its own; none repeats a question of the run, and the comparison stays paired."""
    text = scripted_settings("iterations = 2", '[evaluation]\npromote = "always"\nfresh_dev = 1', train=8, test=0)
    one = harness(text.replace("train = 8", "train = 8\ndev = 5"))
    one.start()
    one.run()
    one.wait(lambda: one.rows("SELECT count(*) FROM iterations WHERE state = 'done'") == [(2,)])
    drawn = one.rows("SELECT split, draw, count(*) FROM run_questions GROUP BY 1, 2 ORDER BY 1, 2")
    assert drawn == [("dev", 0, 5), ("dev", 1, 5), ("train", 0, 8)]
    texts = [text for (text,) in one.rows("SELECT text FROM questions")]
    assert len(texts) == len(set(texts))
    asked = one.rows(
        "SELECT p.name, rq.draw, count(*) FROM attempts a JOIN policies p ON p.id = a.policy_id"
        " JOIN run_questions rq ON rq.question_id = a.question_id WHERE a.protocol <> '' AND a.turn = 1"
        " GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert [row[:2] for row in asked] == [("p00", 0), ("p01", 0), ("p01", 1), ("p02", 1)]
    (reason,) = one.rows("SELECT reason FROM policies WHERE name = 'p02'")
    assert "n = 5" in str(reason[0])


def test_tasks_that_can_not_draw_are_named(harness: Make, tmp_path: Path) -> None:
    """Questions from a file are what they are; the run itself stays usable."""
    one = harness(dev_run(tmp_path, "iterations = 2", '[evaluation]\npromote = "always"\nfresh_dev = 1'))
    one.start()
    one.run()
    status = one.wait_state("failed")
    assert "no task with dev questions can generate new ones; set it to 0" in status["iteration"]["reason"]
    assert one.rows("SELECT state FROM runs") == [("ready",)]


@pytest.mark.parametrize("minimum", [50])
def test_too_few_examples_end_the_iteration_and_the_file_can_continue_it(
    harness: Make, tmp_path: Path, minimum: int
) -> None:
    """Nothing is trained, the rollouts stay, and a lower minimum in the file is taken by `run`."""
    one = harness(dev_run(tmp_path, sections=f"min_examples = {minimum}"))
    one.start()
    one.run()
    status = one.wait_state("failed")
    reason = status["iteration"]["reason"]
    assert reason.startswith("nothing was trained: ") and f"(min_examples = {minimum})" in reason
    assert "The rollouts are kept" in reason and "reflectevo run" in reason
    assert status["iteration"]["child"] is None and status["iteration"]["counts"]["attempts"] == 12
    made = one.rows("SELECT count(*) FROM attempts WHERE protocol = ''")
    again = one.run()
    assert "taken" not in again
    one.wait(lambda: one.status()["iteration"]["state"] == "failed")
    file = one.workspace.settings_file
    file.write_text(file.read_text().replace(f"min_examples = {minimum}", "min_examples = 1"))
    assert f"training.min_examples = 1 (was {minimum})" in one.run()
    one.wait(lambda: one.status()["iteration"]["kind"] == "evaluation" and one.status()["iteration"]["complete"])
    assert one.rows("SELECT count(*) FROM attempts WHERE protocol = ''") == made
