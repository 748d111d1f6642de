"""Tests of the curating process: three sets from stored trajectories, resumable judging, and alarms raised once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.prompts.rollout import attempt_messages
from engine.rollout.load_plan import problems_of
from engine.stages.context import Commands, Pulse, StageContext
from engine.stages.curate import candidates_of, curate
from engine.stages.job import Job
from engine.tasks.sandbox import probe
from store.control.telemetry import events, metrics
from store.curation.curated import curated, curation_counts
from store.curation.reflection_measures import ReflectionMeasures, reflection_measures
from store.runs import iterations
from store.runs.runs import FewShot, add_few_shots, add_questions, run_questions
from store.workspace import Workspace
from tests.support.rows import Rows, run_settings

THOUGHTS = (
    "The second group was counted twice, so each group needs its own line.",
    "A remainder can't be as large as the divisor, which was never compared here.",
    "Subtracting stopped one step too early; go on until less than five is left over.",
)

TOWNS = (
    "Aachen Bremen Cottbus Dresden Essen Frankfurt Gera Hamburg Ingolstadt Jena Kassel Leipzig Mainz Nauen Oldenburg "
    "Potsdam Querfurt Rostock Stuttgart Trier"
).split()


class Place:
    """A workspace with one iteration whose rollouts are done, and the process that curates it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.workspace = Workspace(folder)
        self.rows = Rows(self.workspace.database, run_settings(**changes))
        self.commands = Commands()

    def question(self, number: int, verdicts: str = "ccc") -> list[int]:
        """Insert a question answered wrongly, with reflections that led to these verdicts; return their ids."""
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

    def next_iteration(self) -> None:
        """Add the iteration that starts from the policy that this one trained."""
        connection, before = self.rows.connection, self.rows.iteration
        self.rows.policy = self.rows.add_policy(f"after {before}", self.rows.policy, "promoted", before)
        iterations.update_iteration(connection, before, child_id=self.rows.policy)
        stored = self.rows.settings.model_dump(mode="json")
        self.rows.iteration = iterations.add_iteration(connection, self.rows.run, self.rows.policy, stored, 0)

    def reflect(self, number: int, text: str) -> None:
        """Add a reflection on a question that names one of twenty towns."""
        question = self.rows.question(f"How far is it to {TOWNS[number]}?")
        attempt = self.rows.attempt(question, text=f"{TOWNS[number]} is near. Answer: {900 + number}")
        self.rows.corrected(attempt, question, text=text)

    def measures(self) -> ReflectionMeasures:
        return reflection_measures(self.rows.connection, self.rows.run)[self.rows.current().number]

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
    """Create workspaces; close them afterwards."""
    made: list[Place] = []

    def make(**changes: Any) -> Place:
        made.append(Place(tmp_path / f"w{len(made)}", **changes))
        return made[-1]

    yield make
    for one in made:
        one.rows.connection.close()


def test_every_candidate_stands_in_every_set(place: Callable[..., Place]) -> None:
    """Each one is included or has its reason; and the funnel adds up."""
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
    """In a second round that is the failed correction; and the training prompt is the one of the setting."""
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
    """Trap 4: few-shots from the test set. Training rows contain the run's own worked examples and nothing of the
    held-out questions.
    """
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
    """A program that passes the tests of its question reveals the solution, a wrong one does not."""
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


def test_a_language_that_cannot_be_told_fails_the_stage(place: Callable[..., Place]) -> None:
    """The setting may have been changed at the gate."""
    one = place(curation={"language": "xx"})
    with pytest.raises(EngineError, match="'xx', which is no language"):
        one.curate()


def test_alike_reflections_raise_one_alarm(place: Callable[..., Place]) -> None:
    """Measured for the charts, with one warning, not one at every curation."""
    one = place()
    for number in range(12):
        question = one.rows.question(f"q{number}")
        attempt = one.rows.attempt(question)
        one.rows.corrected(attempt, question, text="I should be more careful and check each of my steps once more.")
    assert one.curate() and one.curate()
    warnings = [text for text in one.events() if "becoming alike" in text]
    assert len(warnings) == 1
    found = {point.name: point.value for point in metrics(one.rows.connection, one.rows.iteration, "curate")}
    assert found == {
        "reflection_similarity": 1.0,
        "distinct_3": pytest.approx(1 / 12, abs=1e-6),
        "grounded_share": 0.0,
        "novel_share": None,
        "mean_novelty": None,
    }
    assert one.counts("d_plus") == {"included": 1, "duplicate": 11}


def test_the_alarm_compares_with_the_iteration_before(place: Callable[..., Place]) -> None:
    """Below the limit a clear rise is an alarm too."""
    one = place(curation={"collapse_similarity": 0.9})
    for number in range(12):
        one.question(number, "c")
    assert one.curate()
    assert not any("alike" in text for text in one.events())
    one.next_iteration()
    for number in range(12):
        question = one.rows.question(f"Is {number} even?")
        attempt = one.rows.attempt(question)
        text = "I was hasty and so I should check each of my steps once more before I answer number"
        one.rows.corrected(attempt, question, text=f"{text} {number}")
    assert one.curate()
    (warning,) = (text for text in one.events() if "alike" in text)
    assert "mean similarity rose from" in warning


def healthy(town: str, iteration: int) -> str:
    """A reflection that names its town, in other words in every iteration."""
    return (
        f"I mixed up {town} and its neighbour on the map, because I never looked at the scale.",
        f"The road which leads out to {town} was measured in miles, while kilometres were wanted here.",
        f"Nothing of what stands here gives the distance: {town} lies behind two rivers that need a detour.",
    )[iteration]


def test_reflections_that_lose_their_content_raise_one_alarm(place: Callable[..., Place]) -> None:
    """The shares are stored for every iteration; a healthy chain is silent, a policy that repeats itself is not."""
    one = place(curation={"collapse_similarity": 1.0})
    for iteration in range(3):
        for number, town in enumerate(TOWNS):
            one.reflect(number, healthy(town, iteration))
        assert one.curate()
        assert one.measures().grounded == 1.0
        assert one.measures().novel == (None if iteration == 0 else 1.0)
        one.next_iteration()
    assert not any("content" in text for text in one.events())
    for number in range(20):
        one.reflect(number, healthy("the town", 2))
    assert one.curate() and one.curate()
    (warning,) = (text for text in one.events() if "losing their content" in text)
    assert "fell from 100% to 0%" in warning
    assert "0% differ from the previous iteration's" in warning
    assert (one.measures().grounded, one.measures().novel) == (0.0, 0.0)


def test_repeated_worked_examples_raise_the_alarm_in_the_first_iteration(place: Callable[..., Place]) -> None:
    """There is no previous iteration yet, but the prompt shows the sentences that are repeated."""
    one = place(curation={"collapse_similarity": 1.0})
    task = one.rows.settings.tasks[0].name
    add_few_shots(one.rows.connection, one.rows.run, task, [FewShot("q", "a", "b", "The scale was never looked at.")])
    for number in range(20):
        one.reflect(number, "The scale was never looked at.")
    assert one.curate()
    assert one.measures().novel == one.measures().novelty == 0.0
    assert any("0% differ from" in text for text in one.events())


def test_iterations_from_one_policy_are_not_compared(place: Callable[..., Place]) -> None:
    """After a rejection, or in another series, the same policy writes much the same: that is no collapse."""
    one = place(curation={"collapse_similarity": 1.0})
    stored = one.rows.settings.model_dump(mode="json")
    for _ in range(2):
        for number, town in enumerate(TOWNS):
            one.reflect(number, healthy(town, 0))
        assert one.curate()
        assert one.measures().novel is None
        one.rows.iteration = iterations.add_iteration(one.rows.connection, one.rows.run, one.rows.policy, stored, 0)
    assert not any("content" in text for text in one.events())
