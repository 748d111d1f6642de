"""Protects the curating process: three sets from stored trajectories, judging that resumes, alarms told once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.curation.d_pref import JUDGE_INCONSISTENT
from engine.errors import EngineError, JudgeUnavailable
from engine.prompts.rollout import attempt_messages
from engine.rollout.load_plan import problems_of
from engine.stages.context import Commands, Pulse, StageContext
from engine.stages.curate import candidates_of, curate
from engine.stages.job import Job
from engine.tasks.sandbox import probe
from store.control.telemetry import events, metrics
from store.curation.curated import curated, curation_counts
from store.curation.judge_requests import judge_requests
from store.curation.preferences import add_preference, count_pairs_to_judge, pairs_to_judge, preferences_of
from store.curation.reviews import add_review
from store.database.connection import write
from store.runs import iterations
from store.runs.runs import add_questions, run_questions
from store.workspace import Workspace
from tests.support.endpoint import chat_endpoint, error, longer_first, said
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings
from tests.support.rows import Rows, run_settings

THOUGHTS = (
    "The second group was counted twice, so each group needs its own line.",
    "A remainder can't be as large as the divisor, which was never compared here.",
    "Subtracting stopped one step too early; go on until less than five is left over.",
)


class Place:
    """A workspace with one iteration whose rollouts are done, and the process that curates it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.workspace = Workspace(folder)
        self.rows = Rows(self.workspace.database, run_settings(**changes))
        self.commands = Commands()

    def question(self, number: int, verdicts: str = "ccc") -> list[int]:
        """A question answered wrongly, with reflections that led to these verdicts; their ids."""
        question = self.rows.question(f"Is {number} even?")
        attempt = self.rows.attempt(question, text=f"Answer: no, {number} is odd.")
        return [
            self.rows.corrected(
                attempt,
                question,
                "correct" if verdict == "c" else "incorrect",
                instruction=f"1-{position + 1}-1",
                text=f"In case {number} {number * 7} I was hasty. {THOUGHTS[position]} So case {number} is done anew.",
            )[0]
            for position, verdict in enumerate(verdicts)
        ]

    def curate(self) -> bool:
        """Run the stage in this process."""
        job = Job("curate", self.rows.run, self.rows.iteration)
        pulse = Pulse(self.workspace.database, job.slot)
        try:
            return curate(StageContext(self.workspace, job, self.rows.connection, self.commands, pulse))
        finally:
            pulse.end()

    def counts(self, name: str) -> dict[str, int]:
        return curation_counts(self.rows.connection, self.rows.iteration).get(name, {})

    def note(self) -> str:
        return self.rows.stages()["curate"].note

    def events(self) -> list[str]:
        return [event.text for event in events(self.rows.connection) if event.source == "curate"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Makes workspaces; closes them."""
    made: list[Place] = []

    def make(**changes: Any) -> Place:
        made.append(Place(tmp_path / f"w{len(made)}", **changes))
        return made[-1]

    yield make
    for one in made:
        one.rows.connection.close()


def judge_settings(**judge: Any) -> dict[str, Any]:
    """A run that trains on Dpref."""
    return {"training": {"setting": "dpo-judge"}, "judge": judge}


def test_every_candidate_stands_in_every_set(place: Callable[..., Place]) -> None:
    """Included, or with its reason; and the funnel adds up."""
    one = place()
    ids = [*one.question(1), *one.question(2, "cci"), *one.question(3, "iii")]
    assert one.curate()
    assert sum(one.counts("d_plus").values()) == 9
    for name in ("d_plus", "d_pm", "d_pref"):
        rows = [
            row
            for included in (True, False)
            for row in curated(one.rows.connection, one.rows.iteration, name, included)
        ]
        named = {row.reflection_id for row in rows} | {row.rejected_reflection_id for row in rows}
        assert named - {None} == set(ids)
        assert all(row.reason for row in rows)
    assert one.note() == "D+ 4 · D± 2 · Dpref 0 of 9 trajectories"
    stage = one.rows.stages()["curate"]
    assert (stage.done, stage.total) == (9, 9)


def test_candidates_carry_the_attempt_they_reflect_on(place: Callable[..., Place]) -> None:
    """In a second round that is the failed correction; and the training prompt is that of the setting."""
    one = place(training={"setting": "sft-one-stage"})
    (first,) = one.question(1, "i")
    (correction,) = one.rows.connection.execute("SELECT id FROM attempts WHERE reflection_id = ?", (first,)).fetchone()
    question = run_questions(one.rows.connection, one.rows.run, "train")[0].id
    second = one.rows.reflection(correction, "2-2-2", text="The case was looked at from the wrong side again.")
    one.rows.attempt(question, "correct", turn=3, reflection=second, text="Answer: yes")
    found = {
        row.reflection_id: row for row in candidates_of(one.rows.connection, one.rows.current(), one.rows.settings)
    }
    assert set(found) == {first, second}
    assert found[second].attempt_id == correction != found[first].attempt_id
    assert (found[second].attempt_text, found[second].correction_text) == ("a try", "Answer: yes")
    assert "Second try" in found[second].prompt_text and "a try" in found[second].prompt_text
    assert one.curate()
    assert one.counts("d_pm") == {"no correct counterpart": 1, "no incorrect counterpart": 1}


def test_trap_4_no_prompt_of_curation_shows_a_held_out_question(place: Callable[..., Place]) -> None:
    """Trap 4: few-shots from the test set. What is trained on shows the run's own worked examples and nothing of the
    held-out questions."""
    one = place()
    one.question(1)
    held_out = one.rows.question("Is 99 even, the held-out one?", split="test")
    candidates = candidates_of(one.rows.connection, one.rows.current(), one.rows.settings)
    questions = run_questions(one.rows.connection, one.rows.run, "train")
    problems = problems_of(one.rows.connection, one.rows.run, one.rows.settings, questions)
    shown = attempt_messages(problems[candidates[0].question_id])
    for candidate in candidates:
        assert candidate.question_id != held_out
        assert "held-out" not in candidate.prompt_text
        assert candidate.prompt_text.startswith("\n\n".join(message["content"] for message in shown))


@pytest.mark.skipif(not any(one.works for one in probe()), reason="no tier of the sandbox works here")
def test_a_program_in_a_reflection_is_run_to_tell_a_leak(place: Callable[..., Place]) -> None:
    """A program that passes the tests of its question gives the solution away, a wrong one is a thought."""
    tasks = [{"kind": "code", "name": "mbpp", "path": "mbpp.jsonl"}]
    one = place(tasks=tasks, curation={"language": None})
    payload = {"tests": ["assert double(2) == 4"], "setup": "", "seconds": 1.0, "memory_mib": 256}
    row = ("mbpp", "code", "train", "Double a number.", (), "def double(x):\n    return 2 * x", payload, "double")
    add_questions(one.rows.connection, one.rows.run, [row])
    question = run_questions(one.rows.connection, one.rows.run, "train")[0].id
    attempt = one.rows.attempt(question, text="```python\ndef double(x):\n    return x\n```")
    thought = "I returned the number as it came. What was asked for may be:\n```python\ndef double(x):\n    {}\n```"
    told, wrong = (
        one.rows.corrected(attempt, question, instruction=f"1-{n}-1", text=thought.format(body))[0]
        for n, body in enumerate(("return x + x", "return x + 1"), start=1)
    )
    assert one.curate()
    reasons = {
        kept.reflection_id: kept.reason
        for included in (True, False)
        for kept in curated(one.rows.connection, one.rows.iteration, "d_plus", included)
    }
    assert reasons == {told: "leak", wrong: "included"}


def test_with_an_operator_as_judge_pairs_wait_and_count_once_judged(place: Callable[..., Place]) -> None:
    """Nothing is loaded or sent; curating again takes in what was decided."""
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
    """Consistent pairs are included, inconsistent ones are not asked again, and each request is a row."""
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
    """Killed work is only what was in flight: both ways end with the same preferences and no request too many."""
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
    """The stage ends in order, says what is left, and a raised budget goes on from there."""
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
    """In words for an operator; what was judged is curated already, the rest is open."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def script(number: int, payload: dict[str, Any]) -> Any:
        return said(longer_first(payload)) if number < 3 else error(401)

    with chat_endpoint(script) as endpoint:
        one = place(
            **judge_settings(by="endpoint", url=endpoint.url, model="judge-model", concurrency=1, key_variable="NO_KEY")
        )
        for number in range(3):
            one.question(number)
        with pytest.raises(JudgeUnavailable, match="wants a key .401.; set the environment variable NO_KEY"):
            one.curate()
    counts = one.counts("d_pref")
    assert (counts["included"], counts["not judged yet"]) == (1, 2)


def test_a_language_that_cannot_be_told_fails_the_stage(place: Callable[..., Place]) -> None:
    """It may have been set at the gate."""
    one = place(curation={"language": "xx"})
    with pytest.raises(EngineError, match="'xx', which is no language"):
        one.curate()


def test_alike_reflections_raise_one_alarm(place: Callable[..., Place]) -> None:
    """Measured for the charts, warned of once, not at every curation."""
    one = place()
    for number in range(12):
        question = one.rows.question(f"q{number}")
        attempt = one.rows.attempt(question)
        one.rows.corrected(attempt, question, text="I should be more careful and check each of my steps once more.")
    assert one.curate() and one.curate()
    warnings = [text for text in one.events() if "becoming alike" in text]
    assert len(warnings) == 1
    found = {point.name: point.value for point in metrics(one.rows.connection, one.rows.iteration, "curate")}
    assert found == {"reflection_similarity": 1.0, "distinct_3": pytest.approx(1 / 12, abs=1e-6)}
    assert one.counts("d_plus") == {"included": 1, "duplicate": 11}


def test_the_alarm_compares_with_the_iteration_before(place: Callable[..., Place]) -> None:
    """Below the limit a clear rise is a sign too."""
    one = place(curation={"collapse_similarity": 0.9})
    for number in range(12):
        one.question(number, "c")
    assert one.curate()
    assert not any("alike" in text for text in one.events())
    stored = one.rows.settings.model_dump(mode="json")
    one.rows.iteration = iterations.add_iteration(one.rows.connection, one.rows.run, one.rows.policy, stored, 0)
    for number in range(12):
        question = one.rows.question(f"Is {number} even?")
        attempt = one.rows.attempt(question)
        text = "I was hasty and so I should check each of my steps once more before I answer number"
        one.rows.corrected(attempt, question, text=f"{text} {number}")
    assert one.curate()
    (warning,) = (text for text in one.events() if "alike" in text)
    assert "mean similarity rose from" in warning


def test_a_whole_iteration_has_its_pairs_judged_by_the_policy(
    tmp_path: Path, harness: Callable[[str], EngineHarness]
) -> None:
    """The curating process loads the generator, judges, and the iteration goes on to train on Dpref."""
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
    """The generator is loaded in this process, asked in both orders, and given back; a model with random weights names
    neither reflection, and that is recorded as what it is."""
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
