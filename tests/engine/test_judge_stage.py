"""Tests of judging Dpref in the curating process: by the policy, an operator or an endpoint, and resumable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.curation.d_pref import JUDGE_INCONSISTENT
from engine.errors import JudgeUnavailable
from engine.stages.context import Commands
from store.curation.curated import curated
from store.curation.judge_requests import judge_requests
from store.curation.preferences import add_preference, count_pairs_to_judge, pairs_to_judge, preferences_of
from store.curation.reviews import add_review
from store.database.connection import write
from store.runs import iterations
from tests.engine.test_curation_stage import Place
from tests.support.endpoint import chat_endpoint, error, longer_first, said
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings
from tests.support.rows import run_settings


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Create workspaces; close them afterwards."""
    made: list[Place] = []

    def make(**changes: Any) -> Place:
        made.append(Place(tmp_path / f"w{len(made)}", **changes))
        return made[-1]

    yield make
    for one in made:
        one.rows.connection.close()


def judge_settings(**judge: Any) -> dict[str, Any]:
    """Settings of a run that trains on Dpref."""
    return {"training": {"setting": "dpo-judge"}, "judge": judge}


def test_with_an_operator_as_judge_pairs_wait_and_count_once_judged(place: Callable[..., Place]) -> None:
    """Nothing is loaded or sent; curating again applies the new decisions."""
    one = place(**judge_settings())
    one.question(1)
    one.question(2)
    assert one.curate()
    assert one.note().endswith("Dpref 0 of 6 trajectories; 2 pairs wait on the Review screen")
    pair, _ = pairs_to_judge(one.rows.connection, one.rows.iteration)
    add_preference(one.rows.connection, pair.second_id, pair.first_id, reviewer="me")
    assert one.curate()
    (kept,) = curated(one.rows.connection, one.rows.iteration, "d_pref")
    assert (kept.reflection_id, kept.rejected_reflection_id) == (pair.second_id, pair.first_id)
    assert one.note().endswith("1 pair waits on the Review screen")
    add_review(one.rows.connection, pair.second_id, "reject", reviewer="me")
    assert one.curate()
    assert curated(one.rows.connection, one.rows.iteration, "d_pref") == []
    assert one.counts("d_pref")["human reject"] == 1


def test_the_policy_judges_itself_in_both_orders(place: Callable[..., Place]) -> None:
    """Consistent pairs are included, inconsistent ones are not judged again, and each request is a row."""
    one = place(**judge_settings(by="self", pairs_per_question=2))
    for number in range(12):
        one.question(number)
    assert one.curate()
    counts = one.counts("d_pref")
    said = preferences_of(one.rows.connection, one.rows.iteration)
    assert {preference.reviewer for preference in said} == {"self p00"}
    assert counts["included"] == sum(preference.confidence == 1.0 for preference in said) > 0
    assert counts["judge inconsistent"] == sum(preference.note == JUDGE_INCONSISTENT for preference in said) > 0
    assert "not judged yet" not in counts
    requests = judge_requests(one.rows.connection, one.rows.iteration)
    assert len(requests) == 2 * len(said) == 48
    assert {request.answer for request in requests} == {"first", "second"}
    assert any(text.startswith(f"judge: {counts['included']} consistent") for text in one.events())
    assert one.curate()
    assert len(judge_requests(one.rows.connection, one.rows.iteration)) == 48, "a second curation asks nothing"


def test_a_stop_while_judging_is_resumed_to_the_same_judgements(place: Callable[..., Place]) -> None:
    """A kill loses only requests in flight: both ways end with the same preferences and no request too many."""
    straight, broken = (
        place(**judge_settings(by="self"), generation={"generator": "scripted", "concurrency": 1}) for _ in "12"
    )
    for one in (straight, broken):
        for number in range(6):
            one.question(number)
    assert straight.curate()

    class Stopping(Commands):
        def should_stop(self) -> bool:
            return len(judge_requests(broken.rows.connection, broken.rows.iteration)) >= 5

    broken.commands = Stopping()
    assert not broken.curate()
    assert len(preferences_of(broken.rows.connection, broken.rows.iteration)) == 2
    broken.commands = Commands()
    assert broken.curate()

    def judged(one: Place) -> list[tuple[int, int, float | None]]:
        found = preferences_of(one.rows.connection, one.rows.iteration)
        return sorted((pref.chosen_id, pref.rejected_id, pref.confidence) for pref in found)

    assert judged(broken) == judged(straight)
    assert len(judge_requests(broken.rows.connection, broken.rows.iteration)) == 12
    assert broken.counts("d_pref") == straight.counts("d_pref")


def test_an_endpoint_judges_within_its_budget(place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage ends in order and reports what is left; after the budget is raised it resumes from there."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with chat_endpoint() as endpoint:
        asked = {"by": "endpoint", "url": endpoint.url, "model": "judge-model"}
        one = place(**judge_settings(**asked, max_requests=5))
        for number in range(4):
            one.question(number)
        assert one.curate()
        assert len(endpoint.payloads) == 4
        assert one.counts("d_pref")["not judged yet"] == 2
        assert one.note().endswith("2 pairs wait for the judge")
        assert any("budget of 5 requests is used up: 2 pairs are not judged" in text for text in one.events())
        richer = run_settings(**judge_settings(**asked, max_requests=50))
        iterations.update_iteration(one.rows.connection, one.rows.iteration, settings=richer.model_dump(mode="json"))
        assert one.curate()
        assert len(endpoint.payloads) == 8
    assert count_pairs_to_judge(one.rows.connection, one.rows.iteration) == 0
    for row in curated(one.rows.connection, one.rows.iteration, "d_pref"):
        texts = dict(one.rows.connection.execute("SELECT id, length(text) FROM reflections").fetchall())
        assert texts[row.reflection_id] >= texts[row.rejected_reflection_id or 0]


def test_an_endpoint_that_fails_fails_the_stage_and_keeps_what_it_said(
    place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a message for the operator; what was judged is curated already, the rest is open."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def script(number: int, payload: dict[str, Any]) -> Any:
        return said(longer_first(payload)) if number < 3 else error(401)

    with chat_endpoint(script) as endpoint:
        one = place(
            **judge_settings(by="endpoint", url=endpoint.url, model="judge-model", concurrency=1, key_variable="NO_KEY")
        )
        for number in range(3):
            one.question(number)
        with pytest.raises(JudgeUnavailable, match="requires an API key .401.; set NO_KEY in the environment"):
            one.curate()
    counts = one.counts("d_pref")
    assert (counts["included"], counts["not judged yet"]) == (1, 2)


def test_a_whole_iteration_has_its_pairs_judged_by_the_policy(
    tmp_path: Path, harness: Callable[[str], EngineHarness]
) -> None:
    """The curating process loads the generator and judges, and the iteration continues to train on Dpref."""
    sections = '\n[judge]\nby = "self"\npairs_per_question = 4\n'
    text = quiz_settings(tmp_path, sections=sections, train=40, test=4)
    text = text.replace("[training]\n", '[training]\nsetting = "dpo-judge"\n').replace("samples = 2", "samples = 4")
    assert "REFLECTEVO_SCRIPTED_DELAY" not in os.environ
    one = harness(text)
    one.start()
    one.run()
    one.wait(lambda: one.stage("curate").get("state") == "done")
    one.wait(lambda: one.stage("train").get("state") in ("done", "failed"))
    assert one.rows("SELECT count(*) > 0 FROM preferences WHERE source = 'judge' AND confidence = 1") == [(1,)]
    assert one.rows("SELECT count(*) FROM curated WHERE set_name = 'd_pref' AND reason = 'not judged yet'") == [(0,)]
    ((included,),) = one.rows("SELECT count(*) FROM curated WHERE set_name = 'd_pref' AND included")
    assert included > 0
    assert one.stage("train")["state"] == "done", one.stage("train")
    ((trained,),) = one.rows("SELECT json_extract(details, '$.examples') FROM policies WHERE name = 'p01'")
    assert trained == included


@pytest.mark.slow
def test_a_real_model_judges_and_its_noise_decides_nothing(place: Callable[..., Place], tiny_model: Path) -> None:
    """The generator is loaded in this process, judges both orders, and is unloaded; a model with random weights names
    neither reflection, and that is recorded.
    """
    one = place(**judge_settings(by="self", max_tokens=8), generation={"generator": "transformers", "dtype": "float32"})
    with write(one.rows.connection):
        one.rows.connection.execute("UPDATE policies SET path = ?1, base_model = ?1", (str(tiny_model),))
    one.question(1)
    one.question(2)
    assert one.curate()
    said = preferences_of(one.rows.connection, one.rows.iteration)
    assert [(preference.confidence, preference.note.partition(":")[0]) for preference in said] == [
        (0.0, "judge undecided")
    ] * 2
    assert [request.answer for request in judge_requests(one.rows.connection, one.rows.iteration)] == ["unclear"] * 2
    assert one.counts("d_pref")["judge undecided"] == 2
    assert any("2 undecided; 2 requests, 2 unclear replies" in text for text in one.events())
