"""Tests of the supervised loop with real processes: gates, pace, pause, stop, failure and the next iteration."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.supervisor.child_processes import tagged_processes
from store.database.connection import open_reader
from store.errors import DirectiveRefused
from store.runs.policies import list_policies
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings

Make = Callable[[str], EngineHarness]


def states(one: EngineHarness) -> dict[str, str]:
    """State of each stage."""
    return {stage["name"]: stage["state"] for stage in one.status()["iteration"]["stages"]}


def done(one: EngineHarness, stage: str) -> int:
    """Number of items of a stage that are done."""
    return int(one.stage(stage).get("done", 0))


def events(one: EngineHarness) -> list[str]:
    """The complete log, oldest first."""
    return [row[0] for row in one.rows("SELECT text FROM events ORDER BY id")]


def test_gates_wait_with_what_they_would_do_and_an_approval_goes_on(harness: Make, tmp_path: Path) -> None:
    """Behind a gate nothing has started; approved stage by stage, the run ends like one without gates."""
    one = harness(quiz_settings(tmp_path, 'gates = ["reflect", "train", "promote"]', train=12, test=4))
    one.start()
    one.run()
    one.wait_state("waiting")
    assert one.status()["iteration"]["gate"] == "reflect"
    assert states(one) == {
        "attempt": "done",
        "reflect": "waiting",
        "correct": "pending",
        "curate": "pending",
        "train": "pending",
        "evaluate": "pending",
    }
    assert one.rows("SELECT count(*) FROM reflections") == [(0,)]
    assert one.stage("reflect")["note"].startswith("would generate ")
    with pytest.raises(DirectiveRefused, match="does not wait at a gate 'train'"):
        one.issue("approve", stage="train")
    one.issue("approve", stage="reflect")

    one.wait(lambda: one.status()["iteration"]["gate"] == "train")
    assert states(one)["curate"] == "done"
    assert one.stage("train")["note"].startswith("would train sft-one-stage on ")
    one.issue("set_settings", settings={"training": {"epochs": 2}})
    one.issue("approve", stage="train")

    one.wait(lambda: one.status()["iteration"]["gate"] == "promote")
    assert "Acc@t2" in one.status()["iteration"]["reason"]
    assert one.status()["iteration"]["child"]["state"] == "candidate"
    one.issue("approve")
    status = one.wait_state("done")
    assert status["iteration"]["complete"]
    assert status["iteration"]["child"]["state"] == "promoted"


def test_a_skipped_training_ends_the_iteration_and_the_next_one_starts_from_the_same_parent(
    harness: Make, tmp_path: Path
) -> None:
    """Rollouts and curated rows are kept; nothing is trained or answered after the directive."""
    one = harness(quiz_settings(tmp_path, 'gates = ["train"]', train=8, test=3))
    one.start()
    one.run()
    one.wait_state("waiting")
    counts = one.rows("SELECT (SELECT count(*) FROM attempts), (SELECT count(*) FROM curated)")
    with pytest.raises(DirectiveRefused, match="does not wait at a gate 'evaluate'"):
        one.issue("skip", stage="evaluate")
    one.issue("skip", stage="train")
    status = one.wait_state("done")["iteration"]
    assert not status["complete"] and status["child"] is None
    assert states(one) | {"train": "", "evaluate": ""} == {
        **dict.fromkeys(("attempt", "reflect", "correct", "curate"), "done"),
        **dict.fromkeys(("train", "evaluate"), ""),
    }
    assert {states(one)[name] for name in ("train", "evaluate")} == {"skipped"}
    assert "train skipped by " in status["reason"]
    assert one.rows("SELECT (SELECT count(*) FROM attempts), (SELECT count(*) FROM curated)") == counts
    one.run()
    one.wait(lambda: one.status()["iteration"]["number"] == 2)
    assert one.status()["iteration"]["parent"]["name"] == "p00"


def test_a_skipped_evaluation_waits_for_a_decision_about_the_child(harness: Make, tmp_path: Path) -> None:
    """Trained but not compared: the rule would have promoted it, so an operator has to decide."""
    one = harness(quiz_settings(tmp_path, 'gates = ["evaluate"]', train=8, test=3))
    one.start()
    one.run()
    one.wait(lambda: one.status()["iteration"]["gate"] == "evaluate")
    one.issue("skip")
    one.wait(lambda: one.status()["iteration"]["gate"] == "promote")
    assert "no comparison of the child" in one.status()["iteration"]["reason"]
    one.issue("reject")
    status = one.wait_state("done")["iteration"]
    assert status["child"]["state"] == "rejected" and not status["complete"]


def test_a_rejected_child_does_not_become_the_parent(harness: Make, tmp_path: Path) -> None:
    """Rejected by an operator at the promote gate: the next iteration starts from the same parent."""
    one = harness(quiz_settings(tmp_path, 'gates = ["promote"]', train=8, test=4))
    one.start()
    one.run()
    one.wait_state("waiting")
    one.issue("reject")
    status = one.wait_state("done")
    assert status["iteration"]["child"]["state"] == "rejected"
    assert status["iteration"]["child"]["reason"].startswith("rejected by ")
    one.run()
    one.wait(lambda: one.status()["iteration"]["number"] == 2)
    assert one.status()["iteration"]["parent"]["name"] == "p00"


def test_step_pace_waits_before_every_stage(harness: Make, tmp_path: Path) -> None:
    """One stage at a time, each on an approval; nothing of a later stage is generated before it."""
    one = harness(quiz_settings(tmp_path, 'pace = "step"', train=8, test=3))
    one.start()
    one.run()
    for number, stage in enumerate(("attempt", "reflect", "correct", "curate", "train", "evaluate")):
        one.wait(lambda stage=stage: one.status()["iteration"]["gate"] == stage)
        assert list(states(one).values()) == ["done"] * number + ["waiting"] + ["pending"] * (5 - number)
        assert not tagged_processes(one.workspace), "nothing holds the device while it waits"
        one.issue("run_stage", stage=stage)
    one.wait(lambda: one.status()["iteration"]["gate"] == "promote")
    one.issue("approve")
    assert one.wait_state("done")["iteration"]["complete"]


def test_a_pause_finishes_what_is_in_flight_and_holds_until_the_resume(harness: Make, tmp_path: Path) -> None:
    """After the pause took effect no row is added, and the process keeps its model loaded."""
    one = harness(quiz_settings(tmp_path, train=40, test=4))
    one.start(delay=0.1)
    one.run()
    one.wait(lambda: done(one, "attempt") > 4)
    one.issue("pause")
    assert one.status()["iteration"]["state"] == "paused"
    rows = "SELECT (SELECT count(*) FROM attempts) + (SELECT count(*) FROM reflections)"
    paused = one.rows(rows)
    held: list[tuple[int]] = []

    def still() -> bool:
        nonlocal held
        before, held = held, one.rows(rows)
        return held == before

    one.wait(still, every=2.0)
    assert held[0][0] - paused[0][0] <= 8, "no more than was in flight"
    running = tagged_processes(one.workspace)
    time.sleep(1.0)
    assert one.rows(rows) == held
    assert running and tagged_processes(one.workspace) == running
    one.issue("resume")
    one.wait(lambda: one.rows(rows) > held)
    assert tagged_processes(one.workspace) == running


def test_a_stop_keeps_what_is_done_and_resume_completes_it(harness: Make, tmp_path: Path) -> None:
    """Stopped is a state of rest: no process, no lost row; the resumed run completes without duplicates."""
    one = harness(quiz_settings(tmp_path, train=24, test=4))
    one.start(delay=0.05)
    one.run()
    one.wait(lambda: done(one, "correct") > 2)
    one.issue("stop")
    one.wait_state("stopped")
    assert not tagged_processes(one.workspace)
    kept = set(one.rows("SELECT id, prompt_hash FROM attempts"))
    assert len(kept) > 2
    one.shut_down()
    one.start()
    assert one.status()["iteration"]["state"] == "stopped", "a stopped iteration waits for its word across engines"
    one.issue("resume")
    status = one.wait_state("done")
    assert status["iteration"]["complete"]
    assert kept <= set(one.rows("SELECT id, prompt_hash FROM attempts"))


def test_a_failed_stage_says_why_and_goes_on_after_its_setting_was_changed(harness: Make, tmp_path: Path) -> None:
    """Too few examples: the reason contains the number and the setting, all earlier stages are kept."""
    one = harness(quiz_settings(tmp_path, sections="min_examples = 5000", train=8, test=3))
    one.start()
    one.run()
    status = one.wait_state("failed")
    assert "too few to train on (min_examples = 5000)" in status["iteration"]["reason"]
    assert one.stage("train")["state"] == "failed"
    assert "min_examples = 5000" in one.stage("train")["error"]
    assert states(one)["curate"] == "done"
    one.issue("retry_failed")
    one.wait(lambda: one.status()["iteration"]["state"] == "failed")
    one.issue("set_settings", settings={"training": {"min_examples": 1}})
    one.issue("resume")
    status = one.wait_state("done")
    assert status["iteration"]["complete"]
    assert one.stage("train")["error"] is None
    assert status["iteration"]["reason"].startswith(("not worse", "worse", "can't tell"))


def test_the_second_iteration_starts_from_the_promoted_child_and_measures_only_its_own(
    harness: Make, tmp_path: Path
) -> None:
    """A policy measured as a child is not measured again as a parent."""
    one = harness(quiz_settings(tmp_path, "iterations = 2", '[evaluation]\npromote = "always"', train=8, test=4))
    one.start()
    one.run()
    one.wait(lambda: one.status()["iteration"]["number"] == 2 and one.status()["iteration"]["state"] == "done")
    status = one.status()["iteration"]
    assert (status["parent"]["name"], status["child"]["name"]) == ("p01", "p02")
    answered = one.rows(
        "SELECT p.name, a.iteration_id, count(*) FROM attempts a JOIN policies p ON p.id = a.policy_id"
        " WHERE a.protocol <> '' AND a.turn = 1 GROUP BY 1, 2 ORDER BY 1"
    )
    assert answered == [("p00", 1, 4), ("p01", 1, 4), ("p02", 2, 4)]
    with closing(open_reader(one.workspace.database)) as connection:
        lineage = [(policy.name, policy.parent_id, policy.state) for policy in list_policies(connection, 1)]
    assert lineage == [("p00", None, "promoted"), ("p01", 1, "promoted"), ("p02", 2, "promoted")]
    # The evaluate stage of both iterations counts parent and child, measured before or now.
    evaluated = one.rows("SELECT done, total FROM stages WHERE name = 'evaluate' ORDER BY iteration_id")
    assert all(finished == total > 0 for finished, total in evaluated)


def test_a_run_without_held_out_questions_leaves_its_child_to_the_operator(harness: Make, tmp_path: Path) -> None:
    """`test = 0` trains without measuring: no rule can decide, and the gate says so though none was configured."""
    one = harness(quiz_settings(tmp_path, sections='[evaluation]\nundecided = "operator"', train=8, test=0))
    one.start()
    one.run()
    status = one.wait_state("waiting")
    assert status["iteration"]["gate"] == "promote"
    assert "can't tell with n = 0" in status["iteration"]["reason"]
    one.issue("approve")
    status = one.wait_state("done")
    assert status["iteration"]["complete"]
    assert "no question was verified for both" in status["iteration"]["child"]["reason"]


def test_shutting_down_leaves_no_process_and_the_next_engine_goes_on(harness: Make, tmp_path: Path) -> None:
    """A shutdown finishes generations in flight; the iteration is neither stopped nor failed by it."""
    one = harness(quiz_settings(tmp_path, train=24, test=3))
    one.start(delay=0.1)
    one.run()
    one.wait(lambda: done(one, "attempt") > 2)
    pid = one.engine_pid()
    assert one.issue("shut_down") == "the engine is shutting down once running work is saved"
    one.wait(lambda: one.engine_pid() is None)
    assert not tagged_processes(one.workspace)
    status = one.status()
    assert (status["engine"]["state"], status["iteration"]["state"]) == ("stopped", "running")
    assert events(one)[-1] == "engine ended"
    assert one.rows("SELECT count(*) FROM heartbeats") == [(0,)]
    assert one.start() != pid
    assert one.wait_state("done")["iteration"]["complete"]


def test_a_missing_model_is_one_clear_failure(harness: Make, tmp_path: Path) -> None:
    """The reason names the model and the remedy; the engine keeps running, and another run can start."""
    settings = quiz_settings(tmp_path, train=12, test=2)
    missing = settings.replace('generator = "scripted"', 'generator = "transformers"')
    one = harness(missing.replace('model = "none"', 'model = "/nowhere/model"'))
    one.start()
    one.run()
    status = one.wait_state("failed")
    assert "/nowhere/model" in status["iteration"]["reason"]
    assert "Traceback" not in status["iteration"]["reason"]
    assert (status["run"]["state"], status["run"]["error"]) == ("failed", status["iteration"]["reason"])
    assert len([text for text in events(one) if "/nowhere/model" in text]) == 1
    assert status["engine"]["state"] == "running"
    one.workspace.settings_file.write_text(settings.replace('name = "scripted"', 'name = "second"', 1))
    one.run()
    status = one.wait_state("done")
    assert (status["run"]["name"], status["iteration"]["complete"]) == ("second", True)
    assert one.status()["run"]["name"] == "second", "a run that failed before doesn't hide one that is done"


def test_a_process_that_can_not_be_started_fails_its_stage_not_the_engine(harness: Make, tmp_path: Path) -> None:
    """A log that can't be opened (or no free process slot) is a failure with a message; resume retries."""
    one = harness(quiz_settings(tmp_path, train=12, test=2))
    log = one.workspace.child_log("prepare")
    log.mkdir(parents=True)
    one.start()
    one.run()
    status = one.wait_state("failed")
    assert "can't start a process for prepare" in status["iteration"]["reason"]
    assert status["engine"]["state"] == "running"
    log.rmdir()
    one.issue("resume")
    assert one.wait_state("done")["iteration"]["complete"]
