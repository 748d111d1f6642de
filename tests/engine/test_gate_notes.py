"""Tests of the notes at a gate: the counts, settings and time estimate that an operator decides on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.evaluation.protocol import protocol_name
from engine.supervisor.gate_notes import describe_gate
from store.curation.curated import NOT_JUDGED, NewCurated, replace_curated
from store.curation.preferences import add_preference
from store.curation.reviews import add_review
from store.database.connection import write
from store.estimates.formulas import Owed
from store.estimates.from_workspace import estimate_ahead
from store.estimates.wording import stage_words
from store.runs import iterations
from store.runs.runs import run_questions
from store.workspace import Workspace
from tests.support.rollout_plans import add_questions
from tests.support.rows import Rows, run_settings


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """Four training questions, of which two were answered wrongly, and two held-out ones."""
    settings = run_settings(
        reflection={"instructions": "random:2", "samples": 2}, training={"batch_size": 2, "epochs": 3}
    )
    made = Rows(tmp_path / "reflectevo.db", settings)
    add_questions(made, {"incorrect": 2, "correct": 2})
    add_questions(made, {"incorrect": 1, "correct": 1}, split="test")
    yield made
    made.connection.close()


def gate(rows: Rows, name: str) -> str:
    """Return the note of a stage's gate."""
    return describe_gate(rows.connection, rows.current(), name)


def _attempted(rows: Rows) -> list[int]:
    attempts = []
    for question in run_questions(rows.connection, rows.run, "train"):
        verdict = question.text.split()[0]
        attempts.append(rows.attempt(question.id, verdict))  # type: ignore[arg-type]
    return attempts


def test_gates_before_the_rollouts(rows: Rows) -> None:
    """Counts come from the stored verdicts: two wrong answers, two instructions, two samples each."""
    assert gate(rows, "attempt").startswith("would answer 4 training questions, about 756 generated tokens; ")
    _attempted(rows)
    assert gate(rows, "reflect").startswith("would generate 8 reflections on 2 wrong answers, about 2,000 generated ")
    assert gate(rows, "correct").startswith("would generate 8 corrections on 2 wrong answers, about 1,900 generated ")
    assert gate(rows, "evaluate").startswith("would answer 2 held-out questions with parent and child, at most ")


def test_without_a_measured_rate_the_gate_says_what_is_missing(rows: Rows) -> None:
    """Nothing was generated here yet: no time is estimated."""
    assert gate(rows, "attempt").endswith("about 756 generated tokens; time unknown (not measured yet)")


def test_the_time_is_that_of_the_one_estimate(rows: Rows, tmp_path: Path) -> None:
    """Eight reflections of 100 tokens at 50 tokens/s are 16 s, formatted as on the screens."""
    _attempted(rows)
    workspace, file = Workspace(tmp_path), tmp_path / "estimate.toml"
    file.write_text("generation_tokens_per_s = 50\nreflection_tokens = 100\nprice_per_gpu_hour = 9\n")
    said = describe_gate(rows.connection, rows.current(), "reflect", workspace)
    assert said.endswith(", about 800 generated tokens, 16 s at 50 tokens/s (given), price 0.04")
    found = estimate_ahead(rows.connection, workspace, rows.current(), Owed({"reflect": 8}))
    assert said.endswith(stage_words(found, "reflect"))


def test_a_wrong_file_of_figures_stops_no_gate(rows: Rows, tmp_path: Path) -> None:
    """The note reports the error in the file; the counts are shown nevertheless."""
    _attempted(rows)
    (tmp_path / "estimate.toml").write_text("speed = 50")
    said = describe_gate(rows.connection, rows.current(), "reflect", Workspace(tmp_path))
    assert said.startswith("would generate 8 reflections") and "no estimate: there is no figure 'speed'" in said


def test_the_gate_of_curation_counts_reviews(rows: Rows) -> None:
    """An operator who reviewed rows sees that the reviews will count."""
    attempt = _attempted(rows)[0]
    question = run_questions(rows.connection, rows.run, "train")[0]
    reflection, _ = rows.corrected(attempt, question.id)
    add_review(rows.connection, reflection, "accept", reviewer="me")
    iterations.set_progress(rows.connection, rows.iteration, "correct", 8, 8)
    said = gate(rows, "curate")
    assert said.startswith("would filter 8 trajectories, ") and said.endswith("; 1 reviewed by an operator")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (
            "sft-one-stage",
            "would train sft-one-stage on 1 example (2 left out), about 3 steps at a learning rate of 0.001, about ",
        ),
        (
            "dpo-verdict",
            "would train dpo-verdict on 1 example (0 left out), about 3 steps at a learning rate of 5e-06, about ",
        ),
    ],
)
def test_the_gate_of_training_names_set_size_and_steps(rows: Rows, setting: str, words: str) -> None:
    """The numbers are those of the set this setting trains on: D+ or D±."""
    attempt = _attempted(rows)[0]
    made = [rows.reflection(attempt, f"1-{n}-1") for n in (1, 2, 3)]
    decided = [
        NewCurated("d_plus", made[0], None, None, True, ""),
        NewCurated("d_plus", made[1], None, None, False, "correction incorrect"),
        NewCurated("d_plus", made[2], None, None, False, "states the answer"),
        NewCurated("d_pm", made[0], made[1], None, True, ""),
    ]
    with write(rows.connection):
        replace_curated(rows.connection, rows.iteration, decided)
        changed = rows.settings.model_copy(
            update={"training": rows.settings.training.model_copy(update={"setting": setting})}
        )
        iterations.update_iteration(rows.connection, rows.iteration, settings=changed.model_dump(mode="json"))
    assert gate(rows, "train").startswith(words)
    assert "training tokens; time unknown (not measured yet)" in gate(rows, "train")


def test_the_gate_of_training_says_how_many_pairs_wait_for_a_judge(rows: Rows) -> None:
    """With an operator as the judge, training waits until the pairs are reviewed."""
    attempt = _attempted(rows)[0]
    made = [rows.reflection(attempt, f"1-{n}-1") for n in (1, 2, 3)]
    with write(rows.connection):
        replace_curated(
            rows.connection,
            rows.iteration,
            [
                NewCurated("d_pref", made[0], made[1], None, False, NOT_JUDGED),
                NewCurated("d_pref", made[0], made[2], None, False, NOT_JUDGED),
            ],
        )
        changed = run_settings(training={"setting": "dpo-judge"})
        iterations.update_iteration(rows.connection, rows.iteration, settings=changed.model_dump(mode="json"))
    assert gate(rows, "train").startswith("would train dpo-judge on 0 examples (2 left out), about 0 steps")
    assert "; 2 pairs wait on the Review screen; too few to train on: fewer than" in gate(rows, "train")
    add_preference(rows.connection, made[0], made[1], reviewer="me")
    assert "; 1 pair waits on the Review screen; " in gate(rows, "train")


def test_the_promote_gate_compares_the_child_with_its_parent(rows: Rows) -> None:
    """The decision rests on paired held-out answers, whose number is shown."""
    questions = run_questions(rows.connection, rows.run, "test")
    protocol = protocol_name(rows.settings, questions)
    child = rows.add_policy("p01", rows.policy, "candidate", rows.iteration)
    iterations.update_iteration(rows.connection, rows.iteration, child_id=child)
    parent = rows.policy
    for policy, verdicts in ((parent, ("incorrect", "correct")), (child, ("correct", "correct"))):
        rows.policy = policy
        for question, verdict in zip(questions, verdicts, strict=True):
            rows.attempt(question.id, verdict, protocol=protocol)  # type: ignore[arg-type]
    said = gate(rows, "promote")
    assert said.startswith("the rule leaves it to you: can't tell with n = 1 whether Acc@t1 fell by more than 4 points")
    assert "; Acc@t1 +50.0 points (" in said and "n = 2" in said
    assert "decided on the test questions, so their results favour promoted policies" in said
    assert "fewer than min_examples = 16, so nothing would be trained" in gate(rows, "train")
