"""Tests of controls under the supervisor: what is generated, what is stored, interruptions, and bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.commands.render_control_prompt import rerender_control
from engine.evaluation.control_load import control_plan
from store.database.connection import reading
from store.runs.iterations import list_iterations
from store.settings.toml_file import parse_settings
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings

Make = Callable[[str], EngineHarness]

TEXTS = """
SELECT q.content_hash, c.first_answers, c.arm, c.sample, c.text, coalesce(c.shown, ''), c.prompt_hash
FROM control_texts c JOIN questions q ON q.id = c.question_id ORDER BY 1, 2, 3, 4
"""


def evaluation_of(text: str, **controls: Any) -> dict[str, Any]:
    """The arguments of a directive that measures the controls."""
    values = parse_settings(text).model_dump(mode="json")
    measuring = {**values["evaluation"], **controls.pop("evaluation", {})}
    section = {"judgement_samples": 2, **controls, "enabled": True}
    return {"settings": values, "evaluation": {**measuring, "controls": {**measuring["controls"], **section}}}


def finished(one: EngineHarness, number: int = 1) -> bool:
    iteration = one.status()["iteration"]
    found = iteration is not None and (iteration["kind"], iteration["number"]) == ("evaluation", number)
    assert not found or iteration["state"] != "failed", iteration["reason"]
    return bool(found and iteration["state"] == "done")


def results(one: EngineHarness, policy: str = "p00") -> dict[str, Any]:
    """The newest stored results of a policy."""
    rows = one.rows(
        "SELECT c.results FROM control_results c JOIN policies p ON p.id = c.policy_id"
        f" WHERE p.name = '{policy}' ORDER BY c.created"
    )
    found: dict[str, Any] = json.loads(rows[-1][0])
    return found


def share(found: dict[str, Any], arm: str) -> float:
    value = found["analysis"]["arms"][arm]["overall"]["value"]
    assert isinstance(value, float)
    return value


EVERY_ARM = ["own", "none", "generic", "shuffled", "foreign", "other-answer", "told"]


def test_every_arm_is_generated_once_and_reaches_nothing_but_the_controls(harness: Make, tmp_path: Path) -> None:
    """Corrections of the evaluation are taken over; no query on attempts, reflections or trajectories sees a control;
    every prompt is rendered again with the stored hash.
    """
    text = quiz_settings(tmp_path, train=4, test=30)
    plain, one = harness(text), harness(text)
    for engine in (plain, one):
        engine.start()
    plain.issue("evaluate", settings=parse_settings(text).model_dump(mode="json"))
    one.issue("evaluate", **evaluation_of(text, arms=EVERY_ARM))
    for engine in (plain, one):
        engine.wait(lambda engine=engine: finished(engine))  # type: ignore[misc]
    found = results(one)
    wrong = one.rows("SELECT count(*) FROM attempts WHERE turn = 1 AND verdict = 'incorrect'")[0][0]
    assert found["wrong"] == wrong > 10
    per_arm = dict(one.rows("SELECT arm || sample, count(*) FROM control_texts WHERE arm <> 'other-answer' GROUP BY 1"))
    expected = {f"{arm}0": wrong for arm in ("none", "generic", "told")} | {f"own{n}": wrong for n in (0, 1)}
    expected |= {f"shuffled{n}": wrong for n in range(3)} | {f"judgement{n}": 30 for n in range(2)}
    assert per_arm == expected, "one task only: no foreign reflection"
    assert found["unavailable"] == {"foreign": "all reflections belong to one task"}
    reused = one.rows("SELECT arm, sample FROM control_texts WHERE reused_from IS NOT NULL GROUP BY 1, 2 ORDER BY 1")
    assert reused == [("none", 0), ("own", 0)], "the evaluation has these texts"
    assert found["cost"]["reused"] == 2 * wrong
    for table in ("attempts", "reflections", "trajectories", "curated", "evaluations", "baseline_outcomes"):
        count = f"SELECT count(*) FROM {table}"
        assert one.rows(count) == plain.rows(count), table
    for metrics in ("SELECT policy_id, protocol, task, metrics FROM evaluations", "SELECT * FROM tallies"):
        assert sorted(one.rows(metrics)) == sorted(plain.rows(metrics))
    status = one.status()["iteration"]
    stage = next(stage for stage in status["stages"] if stage["name"] == "evaluate")
    assert stage["done"] == stage["total"] and status["complete"]
    for (control_id,) in one.rows("SELECT id FROM control_texts"):
        shown = rerender_control(one.workspace, control_id)
        arm = one.rows(f"SELECT arm FROM control_texts WHERE id = {control_id}")[0][0]
        assert shown["matches"], arm
        assert ("The answer is " in str(shown["messages"])) == (arm == "told"), "no other arm states an answer"
    shuffled = one.rows(
        "SELECT c.question_id, r.attempt_id, c.attempt_id, a.answer, b.answer FROM control_texts c"
        " JOIN reflections r ON r.id = c.reflection_id JOIN attempts a ON a.id = r.attempt_id"
        " JOIN attempts b ON b.id = c.attempt_id WHERE c.arm = 'shuffled'"
    )
    assert shuffled and all(shown != own and answer != mine for _, shown, own, answer, mine in shuffled)


@pytest.mark.parametrize("reading", ["ignores", "follows"])
def test_the_arms_tell_a_policy_that_reads_from_one_that_does_not(
    harness: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: str
) -> None:
    """A policy that ignores what stands there answers alike in every arm, one that reads it gives the stated answer."""
    monkeypatch.setenv("REFLECTEVO_SCRIPTED_READING", reading)
    text = quiz_settings(tmp_path, train=4, test=30)
    one = harness(text)
    one.start()
    one.issue("evaluate", **evaluation_of(text))
    one.wait(lambda: finished(one))
    found = results(one)
    analysis = found["analysis"]
    if reading == "ignores":
        shares = {share(found, arm) for arm in ("own", "none", "generic", "shuffled", "told")}
        assert len(shares) == 1
        assert analysis["dependence"]["differs_shuffled"] == 0
        assert analysis["conclusion"] != "helps"
    else:
        assert share(found, "told") == 1.0
        assert analysis["dependence"]["differs_shuffled"] > 0
        assert analysis["dependence"]["differs_repeat"] == 0


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_controls_that_are_interrupted_resume(harness: Make, tmp_path: Path, way: str) -> None:
    """Stopped and resumed, or killed and continued by another engine: the same texts, none twice."""
    text = quiz_settings(tmp_path, train=2, test=10)
    straight, broken = harness(text), harness(text)
    straight.start()
    broken.start(delay=0.1)
    for one in (straight, broken):
        one.issue("evaluate", **evaluation_of(text, arms=EVERY_ARM))
    broken.wait(lambda: broken.rows("SELECT count(*) FROM control_texts")[0][0] > 5)
    assert broken.rows("SELECT count(*) FROM control_results") == [(0,)]
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
    assert broken.rows(TEXTS) == straight.rows(TEXTS)
    mine, theirs = results(broken), results(straight)
    assert mine["analysis"] == theirs["analysis"]


def test_the_parent_reflects_or_corrects_and_the_base_gives_the_first_answers(harness: Make, tmp_path: Path) -> None:
    """Texts of the parent are generated with the parent's weights; with the base's answers all policies have the same
    wrong answers. Measured again, nothing is generated.
    """
    text = quiz_settings(tmp_path, sections='[evaluation]\npromote = "always"', train=8, test=12)
    one = harness(text)
    one.start()
    one.run()
    one.wait(lambda: (one.status()["iteration"] or {}).get("state") == "done")
    arms = ["own", "none", "parent-reflection", "parent-correction"]
    one.issue("evaluate", policy="p01", **evaluation_of(text, arms=arms))
    one.wait(lambda: finished(one))
    found = results(one, "p01")
    assert not found["unavailable"] and {*arms} <= set(found["analysis"]["arms"])
    authors = dict(
        one.rows(
            "SELECT arm || sample, group_concat(DISTINCT p.name) FROM control_texts c"
            " JOIN policies p ON p.id = c.author_id WHERE arm <> 'judgement' GROUP BY 1"
        )
    )
    by_child = {"own0", "own1", "none0", "parent-reflection0"}
    assert authors == dict.fromkeys(by_child, "p01") | {"reflection1": "p00", "parent-correction0": "p00"}
    for (control_id,) in one.rows("SELECT id FROM control_texts"):
        assert rerender_control(one.workspace, control_id)["matches"], "p01 reflects and corrects in one reply"
    with reading(one.workspace.database) as connection:
        newest = list_iterations(connection)[-1]
        plan = control_plan(connection, newest.id, 2, gone={1: "the weights of p00 are gone"})
    assert set(plan.unavailable.values()) == {"the weights of p00 are gone"}
    assert plan.unavailable.keys() == {"parent-reflection", "parent-correction"}
    one.issue("evaluate", policy="p01", **evaluation_of(text, first_answers="base"))
    one.wait(lambda: finished(one, 2))
    wrong = one.rows("SELECT count(*) FROM attempts WHERE policy_id = 1 AND protocol <> '' AND turn = 1"
                     " AND verdict = 'incorrect'")[0][0]  # fmt: skip
    assert results(one, "p01")["wrong"] == wrong
    texts = one.rows("SELECT count(*) FROM control_texts")
    one.issue("evaluate", policy="p01", **evaluation_of(text, first_answers="base"))
    one.wait(lambda: finished(one, 3))
    assert one.rows("SELECT count(*) FROM control_texts") == texts
    one.issue("evaluate", policy="p00", **evaluation_of(text, arms=arms))
    one.wait(lambda: finished(one, 4))
    assert results(one)["unavailable"] == {
        "parent-correction": "policy p00 has no parent",
        "parent-reflection": "policy p00 has no parent",
    }
    other = evaluation_of(text, first_answers="base", evaluation={"rounds": 2})
    one.issue("evaluate", policy="p01", **other)
    one.wait(lambda: finished(one, 5))
    found = results(one, "p01")
    assert found["wrong"] == 0 and "has not answered these questions" in found["analysis"]["sentence"]


def test_without_wrong_answers_or_with_a_single_question_it_is_said(harness: Make, tmp_path: Path) -> None:
    """Nothing to correct, or nothing to shuffle, is a result in words and no failure."""
    text = quiz_settings(tmp_path, train=2, test=1)
    one = harness(text)
    one.start()
    one.issue("evaluate", **evaluation_of(text))
    one.wait(lambda: finished(one))
    found = results(one)
    sentence = found["analysis"]["sentence"]
    assert sentence.startswith("can't tell: ")
    if found["wrong"]:
        assert "can't be shuffled" in found["unavailable"]["shuffled-1"]
    else:
        assert "no first answer was wrong" in sentence
