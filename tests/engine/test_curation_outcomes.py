"""Tests of curated rows in training and exports: what is counted is trained on, after the prompts of the rollout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.exchange.export_records import as_text
from engine.exchange.export_run import export_run
from engine.prompts.instructions import compose
from engine.prompts.rollout import PROMPT_VERSION, Message, one_stage_messages, prompt_hash, reflection_messages
from engine.rollout.load_plan import problems_of
from engine.stages.curate import candidates_of
from engine.training.example_counts import count_rows
from engine.training.examples import Example, LabelledExample, Pair
from engine.training.load_examples import training_examples
from reflectevo_tui.widgets.dataset_funnel import funnel_lines
from store.curation.curated import curated
from store.curation.datasets import dataset_facts
from store.curation.unfit_attempts import UnfitCount, unfit_attempts
from store.records import Verdict
from store.runs.runs import run_questions
from tests.engine.test_curation_stage import Place

TEXTS = (
    "The second group was counted twice, so each group needs a line of its own in {}.",
    "A remainder can't be as large as the divisor, which I never compared for {}.",
    "Subtracting stopped one step too early; go on until less than five is left of {}.",
    "I read the last digit as the first one, which turns the whole rule around for {}.",
)
WORKED = "Halve it, and look for a rest; here nothing is left over at all.\nAnswer: yes"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for workspaces."""
    yield tmp_path


def made(folder: Path, **changes: Any) -> Place:
    """A workspace with one iteration."""
    return Place(folder / "w", **changes)


def rolled_out(place: Place, number: int, reflections: str, *, first: Verdict = "incorrect") -> list[int]:
    """Insert a question with reflections given as `A+ A- B+`: instruction and outcome; return their ids."""
    rows = place.rows
    question = rows.question(f"Is {number} even?")
    attempt = rows.attempt(question, first, text=WORKED if first == "correct" else f"Answer: no, {number} is odd.")
    keys = {"A": "1-1-1", "B": "1-2-1", "G": "general"}
    return [
        rows.corrected(
            attempt,
            question,
            "correct" if what[1] == "+" else "incorrect",
            instruction=keys[what[0]],
            sample=place_of,
            text=TEXTS[place_of % 4].format(number * 10 + place_of),
        )[0]
        for place_of, what in enumerate(reflections.split())
    ]


def asked(place: Place, number: int, key: str, ask: Any = reflection_messages, **words: Any) -> tuple[Message, ...]:
    """The prompt of a reflection on the attempt at a question."""
    questions = run_questions(place.rows.connection, place.rows.run, "train")
    question = next(one for one in questions if one.text == f"Is {number} even?")
    problem = problems_of(place.rows.connection, place.rows.run, place.rows.settings, questions)[question.id]
    attempt = WORKED if words.pop("right", False) else f"Answer: no, {number} is odd."
    return tuple(ask(problem, attempt, compose(key), **words))


@pytest.mark.parametrize("one_instruction", [True, False])
def test_crossing_pairs_are_asked_with_the_general_instruction(folder: Path, one_instruction: bool) -> None:
    """In training and in both exports, and only they; the gate counts what is trained on."""
    place = made(folder, training={"setting": "dpo-verdict"})
    chosen, *others = rolled_out(place, 1, "A+ B- A-" if one_instruction else "A+ B- B-")
    assert place.curate()
    rows = [row for row in curated(place.rows.connection, place.rows.iteration, "d_pm") if row.included]
    assert rows and {row.reflection_id for row in rows} == {chosen}
    key = "1-1-1" if one_instruction else "general"
    assert {row.rejected_reflection_id for row in rows} == ({others[1]} if one_instruction else set(others))
    (examples,) = training_examples(place.rows.connection, place.rows.current(), place.rows.settings)
    wanted = asked(place, 1, key)
    assert [one.prompt for one in examples] == [wanted] * len(rows)
    assert count_rows(place.rows.connection, place.rows.current(), place.rows.settings).kept == len(examples)
    # The published format has the prompts as they were sent, which the stored hash of the chosen reflection confirms.
    place.rows.connection.execute(
        "UPDATE reflections SET prompt_version = ?, prompt_hash = ? WHERE id = ?",
        (PROMPT_VERSION, prompt_hash(asked(place, 1, "1-1-1")), chosen),
    )
    place.rows.connection.execute("UPDATE iterations SET state = 'done'")
    assert [one["prompt"] for one in exported(place, "trl-dpo")] == [list(wanted)] * len(rows)
    assert [one["reflection_prompt"] for one in exported(place, "published-d-pm")] == [as_text(wanted)] * len(rows)


def exported(place: Place, export_format: str) -> list[dict[str, Any]]:
    """The rows of an export of the workspace's iteration."""
    destination = place.workspace.database.parent / export_format
    export_run(
        place.workspace, run="run", number=None, export_format=export_format, encoding="jsonl", destination=destination
    )
    (file,) = destination.rglob("*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_lifts_come_from_the_store_into_curation(folder: Path) -> None:
    """m corrections with each reflection and m second attempts without one."""
    place = made(folder, correction={"samples": 4, "temperature": 0.7}, curation={"pairs_by": "lift", "min_lift": 0.0})
    lucky, steady = rolled_out(place, 1, "A+ A-")
    rows = place.rows
    (question,) = run_questions(rows.connection, rows.run, "train")
    for sample in (1, 2, 3):
        rows.attempt(question.id, "incorrect", turn=2, reflection=lucky, text=f"no {sample}", sample=sample)
        rows.attempt(question.id, "correct", turn=2, reflection=steady, text=f"yes {sample}", sample=sample)
    for sample in range(4):
        rows.attempt(question.id, "correct" if sample < 2 else "incorrect", turn=2, text=f"try {sample}", sample=sample)
    found = {one.reflection_id: one for one in candidates_of(rows.connection, rows.current(), rows.settings)}
    assert {number: (one.lift, one.lift_draws) for number, one in found.items()} == {
        lucky: (-0.25, 4), steady: (0.25, 4)
    }  # fmt: skip
    assert place.curate()
    assert place.counts("d_plus") == {"lift below min_lift": 1, "correction incorrect": 1}
    (pair,) = curated(rows.connection, rows.iteration, "d_pm")
    assert (pair.reflection_id, pair.rejected_reflection_id) == (steady, lucky)


@pytest.mark.parametrize("setting", ["sft-one-stage", "sft-two-stage", "sft-retry", "dpo-verdict"])
def test_rows_on_right_attempts_have_the_neutral_prompts_of_their_rollout(folder: Path, setting: str) -> None:
    """c→c is in D+ and over c→i in D±, balanced against wrong attempts, and no prompt says that an answer is wrong."""
    place = made(folder, reflection={"on": "all"}, training={"setting": setting})
    rolled_out(place, 1, "A+ A-")
    kept = rolled_out(place, 2, "A+ A-", first="correct")
    rolled_out(place, 3, "A+ A-", first="correct")
    for reflection in kept[:1]:
        place.rows.connection.execute("UPDATE attempts SET reasoning = ? WHERE reflection_id = ?", (WORKED, reflection))
    assert place.curate()
    over = "above max_right_per_wrong"
    assert place.counts("d_plus") == {"included": 2, over: 1, "correction incorrect": 3}
    assert place.counts("d_pm") == {"included": 2, over: 2}
    shown = [
        line.plain for line in funnel_lines(dataset_facts(place.rows.connection, place.rows.iteration), "d_plus", None)
    ]
    assert any("i→c and c→c" in line for line in shown) and not any("reflected on" in line for line in shown)
    stages = training_examples(place.rows.connection, place.rows.current(), place.rows.settings)
    counted = count_rows(place.rows.connection, place.rows.current(), place.rows.settings)
    for examples in stages:
        assert len(examples) == counted.kept == 2
        for one in examples:
            text = "\n".join(message["content"] for message in one.prompt)
            assert "may be right or wrong" in text
            assert "Your answer is wrong" not in text and "A first try at this question failed" not in text
    ask = one_stage_messages if setting == "sft-one-stage" else reflection_messages
    if setting != "sft-retry":
        right = [one.prompt for one in stages[0] if WORKED in str(one.prompt[1]["content"])]
        number = 2 if "Is 2 even" in right[0][0]["content"] else 3
        assert right == [asked(place, number, "1-1-1", ask, told_wrong=False, right=True)]


def test_kto_keeps_reflections_whose_right_correction_was_cut(folder: Path) -> None:
    """What is learnt is the reflection: a defect of the correction's text costs the row of D+ only."""
    place = made(folder, training={"setting": "kto-verdict", "batch_size": 2})
    cut, repeating, echoing, _ = rolled_out(place, 1, "A+ A+ A+ A-")
    for reflection, text, finish in (
        (cut, "Answer: yes, as it", "length"),
        (repeating, "Answer: yes and " + "so it is " * 30, "stop"),
        (echoing, "Answer: yes\nYour answer is wrong. Use this reflection on it: I see.", "stop"),
    ):  # fmt: skip
        place.rows.connection.execute(
            "UPDATE attempts SET reasoning = ?, finish_reason = ? WHERE reflection_id = ?", (text, finish, reflection)
        )
    (failed,) = rolled_out(place, 2, "A-")
    place.rows.connection.execute("UPDATE attempts SET finish_reason = 'length' WHERE reflection_id = ?", (failed,))
    assert place.curate()
    assert place.counts("d_plus") == {
        "answer truncated": 1, "answer repetition": 1, "answer echoes the prompt": 1, "correction incorrect": 2
    }  # fmt: skip
    (examples,) = training_examples(place.rows.connection, place.rows.current(), place.rows.settings)
    assert count_rows(place.rows.connection, place.rows.current(), place.rows.settings).kept == len(examples) == 5
    assert sum(isinstance(one, LabelledExample) and one.desirable for one in examples) == 3


@pytest.mark.parametrize("setting", ["sft-attempts", "dpo-attempts"])
def test_unfit_samples_are_neither_counted_nor_trained_on(folder: Path, setting: str) -> None:
    """The rule of corrections applies to sampled attempts, and the gate promises what training does."""
    place = made(folder, attempt={"samples": 4}, curation={"max_per_question": 9}, training={"setting": setting})
    rows, samples = place.rows, (
        ("correct", "It is even.\nAnswer: yes", "stop"),
        ("correct", "so it is even and " * 20, "stop"),
        ("correct", "Answer: yes\nIs {} even?\nAnswer: yes", "stop"),
        ("correct", "Answer: yes, since", "length"),
        ("incorrect", "It is odd.\nAnswer: no", "stop"),
        ("incorrect", "and then again, and then again, " * 20, "stop"),
    )  # fmt: skip
    for number in (12345, 67890):
        rolled_out(place, number, "A+")
        question = next(one for one in run_questions(rows.connection, rows.run, "train") if str(number) in one.text)
        for sample, (verdict, text, finish) in enumerate(samples, start=1):
            attempt = rows.attempt(question.id, verdict, text=text.format(number), sample=sample)  # type: ignore[arg-type]
            rows.connection.execute("UPDATE attempts SET finish_reason = ? WHERE id = ?", (finish, attempt))
    before = count_rows(rows.connection, rows.current(), rows.settings).kept
    assert place.curate() and place.curate()
    (examples,) = training_examples(rows.connection, rows.current(), rows.settings)
    assert count_rows(rows.connection, rows.current(), rows.settings).kept == len(examples) < before
    texts = {
        str(message["content"])
        for one in examples
        for side in (one.sides() if isinstance(one, Pair) else (one,))
        for message in side.completion
    }
    assert not any(text.startswith(("so it", "and then", "Answer: yes, since")) for text in texts)
    found = unfit_attempts(rows.connection, rows.iteration)
    assert UnfitCount("sampled attempts", "answer repetition", 4) in found
    assert UnfitCount("sampled attempts", "answer truncated", 2) in found
    lines = [line.plain for line in funnel_lines(dataset_facts(rows.connection, rows.iteration), "d_plus", None)]
    assert any(line.startswith("− left out of sampled attempts: 4 answer repetition, ") for line in lines)


def test_what_rehearsal_and_distillation_leave_out_is_shown_by_reason(folder: Path) -> None:
    """Counted at curation, with the rule that training applies, and only where the settings use it."""
    place = made(folder, training={"setting": "sft-two-stage", "rehearsal": 9.0, "distillation": True})
    rolled_out(place, 1, "A+ A-")
    right = []
    for number, (text, finish) in enumerate(
        ((WORKED, "stop"), ("Answer: yes, be", "length"), ("so it is even and " * 20, "stop"), ("Answer: yes", "stop"))
    ):
        question = place.rows.question(f"Is {number + 20} even?")
        right.append(place.rows.attempt(question, "correct", text=text))
        place.rows.connection.execute("UPDATE attempts SET finish_reason = ? WHERE id = ?", (finish, right[-1]))
    assert place.curate()
    assert unfit_attempts(place.rows.connection, place.rows.iteration) == [
        UnfitCount("rehearsal", "answer repetition", 1), UnfitCount("rehearsal", "answer truncated", 1)
    ]  # fmt: skip
    _, last = training_examples(place.rows.connection, place.rows.current(), place.rows.settings)
    rehearsed = {-one.id for one in last if isinstance(one, Example) and one.id < 0} & set(right)
    assert rehearsed == {right[0], right[3]}
    facts = dataset_facts(place.rows.connection, place.rows.iteration)
    shown = "− left out of rehearsal: 1 answer repetition, 1 answer truncated"
    assert [line.plain for line in funnel_lines(facts, "d_plus", None)][-1] == shown
    place.rows.connection.execute("UPDATE iterations SET settings = json_set(settings, '$.training.rehearsal', 0.0)")
    assert dataset_facts(place.rows.connection, place.rows.iteration).unfit == ()
