"""Tests of the settings beside the paper's: what each is trained on, how it is asked, and which rows count."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.commands.check import at_once
from engine.commands.check.machine import check_samples
from engine.curation import candidates, set_limits
from engine.errors import TrainingRefused
from engine.exchange.export_scope import find_scope
from engine.exchange.trl_rows import examples_of
from engine.prompts.rollout import attempt_messages, correction_messages, reflection_messages, retry_messages
from engine.supervisor.gate_notes import describe_gate
from engine.training.examples import Example, LabelledExample, Pair, one_sided
from engine.training.load_examples import training_examples
from engine.training.row_kinds import ROW_KINDS, examples_from_attempts, stage_examples
from engine.training.shuffled_reflections import shuffled_reflections
from engine.training.validation import check_training
from reflectevo_tui.widgets.dataset_funnel import funnel_lines
from store.curation import exclusion_reasons
from store.curation.curated import NewCurated, replace_curated
from store.curation.datasets import dataset_facts
from store.curation.records import CuratedRow
from store.curation.trained_rows import ReflectedRow, TrainedRows, count_trained_rows
from store.curation.training_settings import (
    TRAINING_SETTINGS,
    StageFacts,
    TrainingSettingEntry,
    register_training_setting,
)
from store.database.connection import write
from store.settings import GenerationSection, PreviousAttempt, TrainingSection
from tests.engine.test_training_build_examples import D_PLUS, PROBLEM, ROLLOUTS, attempt, reflection, said
from tests.support.rows import Rows, run_settings

ROOT = Path(__file__).parents[2]
NEW = ("kto-verdict", "sft-attempts", "dpo-attempts", "sft-retry", "sft-two-stage-shuffled")
REAL = GenerationSection(generator="transformers")


# -- what the examples are


def test_a_verified_reflection_is_labelled_by_what_its_correction_came_to() -> None:
    right = replace(ROLLOUTS, attempts={**ROLLOUTS.attempts, 2: replace(ROLLOUTS.attempts[2], verdict="correct")})
    asked = tuple(reflection_messages(PROBLEM, "Answer: 5", "instruction 1-1-1"))
    for rollouts, desirable in ((right, True), (ROLLOUTS, False)):
        ((example,),) = stage_examples("kto-verdict", [D_PLUS], rollouts)
        assert example == LabelledExample(31, asked, said("count again"), 5, desirable=desirable)  # type: ignore[arg-type]


@pytest.mark.parametrize("shown", [True, False, "quoted"])
def test_a_retry_is_asked_as_the_baseline_asks_it_and_holds_no_reflection(shown: PreviousAttempt) -> None:
    ((example,),) = stage_examples("sft-retry", [D_PLUS], replace(ROLLOUTS, show_previous_attempt=shown))
    asked = tuple(retry_messages(PROBLEM, "Answer: 5", show_previous_attempt=shown))
    assert example == Example(31, asked, said("Answer: 4"), 5)  # type: ignore[arg-type]
    assert "count again" not in str(example)


def test_a_shuffled_stage_shows_the_other_reflection_and_learns_its_own_correction() -> None:
    other = reflection(14, "the other question needs a ruler", of=4)
    rollouts = replace(ROLLOUTS, reflections={**ROLLOUTS.reflections, 14: other}, shuffled={31: 14})
    (first,), (second,) = stage_examples("sft-two-stage-shuffled", [D_PLUS], rollouts)
    ((own,), _) = stage_examples("sft-two-stage", [D_PLUS], ROLLOUTS)
    assert first == own
    asked = correction_messages(PROBLEM, "Answer: 5", other.text, show_previous_attempt=True)
    assert second == Example(31, tuple(asked), said("Answer: 4"), 5)  # type: ignore[arg-type]


def _rows(questions: list[tuple[str, int]]) -> list[ReflectedRow]:
    return [ReflectedRow(n, 100 + n, question, task) for n, (task, question) in enumerate(questions, start=1)]


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 6)), min_size=2, max_size=40), st.integers())
def test_no_row_is_shown_a_reflection_on_its_own_question(questions: list[tuple[str, int]], seed: int) -> None:
    """Of the same task wherever that has another question, and each once where no question has more than half."""
    rows = _rows([(task, 10 * "abc".index(task) + number) for task, number in questions])
    by_reflection = {row.reflection_id: row for row in rows}
    if len({row.question_id for row in rows}) == 1:
        with pytest.raises(TrainingRefused, match="single question"):
            shuffled_reflections(rows, seed)
        return
    shown = shuffled_reflections(rows, seed)
    assert set(shown) == {row.id for row in rows}
    assert shown == shuffled_reflections(reversed(rows), seed)
    for task in {row.task for row in rows}:
        own = [row for row in rows if row.task == task]
        asked = Counter(row.question_id for row in own)
        for row in own:
            other = by_reflection[shown[row.id]]
            assert other.question_id != row.question_id
            assert len(asked) == 1 or other.task == task
        if 2 * max(asked.values()) <= len(own):
            assert Counter(shown[row.id] for row in own) == Counter(row.reflection_id for row in own)


def test_another_seed_shuffles_otherwise() -> None:
    rows = _rows([("a", number) for number in range(20)])
    assert len({tuple(sorted(shuffled_reflections(rows, seed).items())) for seed in range(4)}) == 4


def _sampled(verdicts: str) -> list[Any]:
    """First attempts at question 5: c correct, i incorrect, in the order of their samples."""
    words = {"c": "correct", "i": "incorrect"}
    return [
        replace(attempt(n, f"try {n}"), sample=n, verdict=words[letter])  # type: ignore[arg-type]
        for n, letter in enumerate(verdicts, start=1)
    ]


def test_right_samples_are_the_completions_of_first_attempts() -> None:
    sampled = _sampled("cicc")
    sampled[3] = replace(sampled[3], reasoning="try 1")
    made = examples_from_attempts("sft-attempts", sampled, {5: PROBLEM}, 9)
    asked = tuple(attempt_messages(PROBLEM))
    assert made == (Example(1, asked, said("try 1"), 5), Example(3, asked, said("try 3"), 5))  # type: ignore[arg-type]
    assert len(examples_from_attempts("sft-attempts", sampled, {5: PROBLEM}, 1)) == 1
    assert examples_from_attempts("sft-attempts", _sampled("ii"), {5: PROBLEM}, 9) == ()


@given(st.text("ci", max_size=9), st.integers(1, 20))
def test_pairs_of_samples_are_right_over_wrong_and_use_each_about_equally(verdicts: str, most: int) -> None:
    made = examples_from_attempts("dpo-attempts", _sampled(verdicts), {5: PROBLEM}, most)
    right, wrong = verdicts.count("c"), verdicts.count("i")
    assert len(made) == min(most, right * wrong) == len({(str(pair.chosen), str(pair.rejected)) for pair in made})  # type: ignore[union-attr]
    for side, letter in (("chosen", "c"), ("rejected", "i")):
        used = Counter(int(getattr(pair, side)[0]["content"].split()[1]) for pair in made)
        assert all(verdicts[number - 1] == letter for number in used)
        if side == "chosen":
            assert not used or max(used.values()) - min(used[n] for n in used) <= 1
    assert all(isinstance(pair, Pair) and pair.prompt == tuple(attempt_messages(PROBLEM)) for pair in made)


# -- which rows count, the same for gate, estimate and training


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Two questions. Of their reflections two worked (one above a cap), two failed (one cut at its length), and one
    was refused for its text; sampled attempts are right, wrong, repeated, cut, unverified and failed."""
    made = Rows(tmp_path / "reflectevo.db", run_settings(attempt={"samples": 6}, curation={"max_per_question": 3}))
    with write(made.connection):
        curated = []
        for number, question in enumerate((made.question("Is one even?"), made.question("Is two even?"))):
            first = made.attempt(question, text=f"no {number}")
            kinds = [("correct", "", True), ("incorrect", exclusion_reasons.CORRECTION_INCORRECT, False)]
            if number == 0:
                kinds += [
                    ("correct", exclusion_reasons.OVER_QUESTION_CAP, False),
                    ("incorrect", exclusion_reasons.CORRECTION_INCORRECT, False),
                    ("correct", "fewer than 5 words", False),
                ]
            for sample, (verdict, reason, included) in enumerate(kinds):
                one, correction = made.corrected(
                    first,
                    question,
                    verdict,
                    text=f"thought {number} {sample}",
                    sample=sample,  # type: ignore[arg-type]
                )
                curated.append(NewCurated("d_plus", one, None, correction, included, reason))
                if number == 0 and sample == 3:
                    made.connection.execute("UPDATE reflections SET finish_reason = 'length' WHERE id = ?", (one,))
            for sample, verdict in enumerate(("correct", "incorrect", "correct", "correct", "unverified"), start=1):
                made.attempt(question, verdict, text=f"so {number} {min(sample, 3)}", sample=sample)  # type: ignore[arg-type]
            cut = made.attempt(question, "correct", text="so on and", sample=6)
            made.connection.execute("UPDATE attempts SET finish_reason = 'length' WHERE id = ?", (cut,))
            made.attempt(question, "unverified", error="out of memory", sample=7)
        replace_curated(made.connection, made.iteration, curated)
    return made


@pytest.mark.parametrize(
    ("setting", "kept", "left_out"),
    [
        ("sft-retry", 2, 5),
        ("sft-two-stage-shuffled", 2, 5),
        ("kto-verdict", 5, 2),
        ("sft-attempts", 4, 0),
        ("dpo-attempts", 4, 0),
        ("sft-qa", 2, 0),
    ],
)
def test_what_is_counted_is_what_is_trained_on(rows: Rows, setting: str, kept: int, left_out: int) -> None:
    chosen = run_settings(
        attempt={"samples": 6}, curation={"max_per_question": 3}, training={"setting": setting, "batch_size": 2}
    )
    entry = TRAINING_SETTINGS[setting]
    counted = count_trained_rows(rows.connection, rows.iteration, rows.run, entry, 3)
    assert counted == TrainedRows(kept, left_out)
    stages = training_examples(rows.connection, rows.current(), chosen)
    assert len(stages) == len(entry.stages) and all(len(examples) == kept for examples in stages)
    assert all(type(example) is ROW_KINDS[entry.rows].example for examples in stages for example in examples)
    rows.connection.execute(
        "UPDATE iterations SET settings = ? WHERE id = ?", (chosen.model_dump_json(), rows.iteration)
    )
    said_there = describe_gate(rows.connection, rows.current(), "train")
    assert said_there.startswith(f"would train {setting} on {kept} examples ({left_out} left out), ")
    assert f"at a learning rate of {entry.learning_rate('lora').default:g}, " in said_there


def test_the_funnel_says_what_the_setting_trains_on(rows: Rows) -> None:
    def shown(setting: str) -> str:
        chosen = run_settings(curation={"max_per_question": 3}, training={"setting": setting, "batch_size": 2})
        with write(rows.connection):
            rows.connection.execute(
                "UPDATE iterations SET settings = ? WHERE id = ?", (chosen.model_dump_json(), rows.iteration)
            )
        facts = dataset_facts(rows.connection, rows.iteration)
        lines = [line.plain for line in funnel_lines(facts, "d_plus", None)]
        assert lines[-1] == facts.trained
        return facts.trained

    assert shown("sft-retry") == "sft-retry trains on 2 rows: D+"
    assert shown("kto-verdict").startswith("kto-verdict trains on 5 rows: D+ and rows left out: correction incorrect, ")
    assert shown("dpo-attempts") == "dpo-attempts trains on 4 rows: sampled attempts"
    with write(rows.connection):
        rows.connection.execute("UPDATE iterations SET settings = '{}'")
    assert dataset_facts(rows.connection, rows.iteration).trained == ""


def test_labels_of_a_stored_iteration(rows: Rows) -> None:
    chosen = run_settings(training={"setting": "kto-verdict"})
    ((*examples,),) = training_examples(rows.connection, rows.current(), chosen)
    labels = {str(one.completion[0]["content"]): one.desirable for one in examples if isinstance(one, LabelledExample)}
    assert labels == {
        "thought 0 0": True, "thought 0 1": False, "thought 0 2": True, "thought 1 0": True, "thought 1 1": False,
    }  # fmt: skip
    assert one_sided(examples) is None
    refusal = one_sided([one for one in examples if getattr(one, "desirable", False)])
    assert refusal is not None and "3 examples to train on, all of them desirable" in refusal


def test_a_cap_limits_the_samples_of_a_question_and_the_gate_says_so(rows: Rows) -> None:
    entry = TRAINING_SETTINGS["sft-attempts"]
    assert count_trained_rows(rows.connection, rows.iteration, rows.run, entry, 1) == TrainedRows(2, 2)


def test_without_samples_a_setting_that_needs_them_is_refused_and_says_why(rows: Rows) -> None:
    rows.connection.execute("DELETE FROM attempts WHERE sample > 0")
    for setting in ("sft-attempts", "dpo-attempts"):
        for samples, words in ((0, "attempt.samples is 0"), (4, "no question has")):
            chosen = run_settings(attempt={"samples": samples}, training={"setting": setting})
            with pytest.raises(TrainingRefused, match=words):
                training_examples(rows.connection, rows.current(), chosen)


@pytest.mark.parametrize("setting", ["sft-attempts", "dpo-attempts"])
def test_the_dry_run_refuses_a_setting_without_its_samples(setting: str, tmp_path: Path) -> None:
    for samples, found in ((0, 1), (1, 0)):
        chosen = run_settings(attempt={"samples": samples}, training={"setting": setting})
        assert len(check_samples(chosen)) == found
    (finding,) = check_samples(run_settings(training={"setting": setting}))
    assert (finding.level, finding.where) == ("error", "attempt.samples")
    assert setting in finding.what and "at least 1" in finding.fix
    assert check_samples(run_settings()) == []
    file = tmp_path / "run.toml"
    file.write_text(
        f'name = "r"\nmodel = "none"\n[[tasks]]\nkind = "choice"\nname = "q"\npath = "q.jsonl"\n'
        f'[generation]\ngenerator = "scripted"\n[training]\nsetting = "{setting}"\n',
        encoding="utf-8",
    )
    assert any(one.where == "attempt.samples" and one.level == "error" for one in at_once(file, None))


# -- entries


def test_a_batch_below_what_a_loss_needs_is_refused() -> None:
    def problems(**training: Any) -> list[str]:
        return check_training(TrainingSection.model_validate(training), REAL)

    assert "at least 2" in problems(setting="kto-verdict", batch_size=1)[0]
    assert problems(setting="kto-verdict", batch_size=2) == problems(setting="dpo-verdict", batch_size=1) == []


def test_an_entry_must_be_consistent() -> None:
    stage = (StageFacts("attempt", ("attempt",), "reasoner"),)
    for entry in (
        TrainingSettingEntry("x", "questions", "d_plus", stage, row_source="questions"),
        TrainingSettingEntry("x", "reflections", None, stage),
        TrainingSettingEntry("x", "questions", None, stage, row_source="questions", left_out_reasons=("y",)),
    ):
        with pytest.raises(ValueError, match="x "):
            register_training_setting(entry)


def test_the_reasons_are_those_of_curation() -> None:
    """`kto-verdict` finds the rows by them."""
    assert candidates.INCORRECT == exclusion_reasons.CORRECTION_INCORRECT
    assert {set_limits.OVER_QUESTION_CAP, set_limits.OVER_TASK_CAP} < set(exclusion_reasons.CAPS)


@pytest.mark.parametrize("setting", sorted(TRAINING_SETTINGS))
def test_the_page_describes_every_setting_with_its_question_and_rates(setting: str) -> None:
    entry = TRAINING_SETTINGS[setting]
    page = (ROOT / "docs" / "training-settings.md").read_text(encoding="utf-8")
    text = " ".join(page.split())
    assert f"### `{setting}`" in page and entry.source and entry.question
    rates = [
        f"| {method} | {rate.default:g} | {rate.lowest:g} to {rate.highest:g} | {rate.source} |"
        for method, rate in (("LoRA", entry.learning_rate("lora")), ("full", entry.learning_rate("full")))
    ]
    rows_of = [line for line in page.splitlines() if line.startswith("| ") and f"`{setting}`" in line.split("|")[1]]
    assert all(any(line.endswith(rate) for line in rows_of) for rate in rates)
    assert re.search(rf"\| `{setting}` \| [^|]*\| {entry.loss.upper()} \| {len(entry.stages)} \|", text)


@pytest.mark.parametrize("setting", ["sft-attempts", "dpo-attempts"])
def test_sampled_attempts_are_exported_as_they_are_trained_on(setting: str, rows: Rows, tmp_path: Path) -> None:
    chosen = run_settings(attempt={"samples": 6}, curation={"max_per_question": 3}, training={"setting": setting})
    with write(rows.connection):
        rows.connection.execute(
            "UPDATE iterations SET settings = ? WHERE id = ?", (chosen.model_dump_json(), rows.iteration)
        )
    (examples,) = training_examples(rows.connection, rows.current(), chosen)
    scope = find_scope(rows.connection, "run", None)
    exported = [example for page in examples_of(rows.connection, scope, setting) for (example,) in page]
    assert exported == list(examples) and len(exported) == 4


def test_a_row_of_another_kind_is_not_among_the_curated() -> None:
    with pytest.raises(Exception, match="doesn't train on curated rows"):
        stage_examples("sft-attempts", [CuratedRow(1, 1, "d_plus", 11, None, 2, True, "")], ROLLOUTS)
    with pytest.raises(Exception, match="doesn't train on sampled attempts"):
        examples_from_attempts("sft-qa", [], {}, 1)
