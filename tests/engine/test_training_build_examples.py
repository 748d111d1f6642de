"""Tests of building training examples from curated rows: for each setting the right prompt and completion, one example
per stage.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError, TrainingRefused
from engine.prompts.rollout import (
    SECOND_TRY,
    Problem,
    attempt_messages,
    correction_messages,
    one_stage_messages,
    reflection_messages,
)
from engine.training.build_examples import Rollouts, question_example
from engine.training.examples import Example, Pair
from engine.training.rehearsal import distillation, rehearsal
from engine.training.request import TrainingRequest, second_stage, stages_of
from engine.training.row_kinds import stage_examples
from engine.training.validation import check_training, qlora_problems
from store.curation.records import CuratedRow
from store.curation.training_settings import TRAINING_SETTINGS
from store.records import StoredAttempt, StoredQuestion, StoredReflection
from store.settings import CurationSection, GenerationSection, PreviousAttempt, TrainingSection, TrainingSetting

PROBLEM = Problem("What is 2 + 2?", "Finish with 'Answer:' and the result.")


def attempt(number: int, text: str, turn: int = 1, reflection: int | None = None) -> StoredAttempt:
    return StoredAttempt(
        number, 1, 5, 1, "", turn, reflection, 0, text, None, "incorrect", "", None, 1, 1, "stop", 0, "1", "", 0.0,
        None, None, 0.0,
    )  # fmt: skip


def reflection(number: int, text: str, of: int = 1, key: str = "1-1-1") -> StoredReflection:
    return StoredReflection(
        number, 1, of, key, 0, 1, "", text, 1, 1, "stop", 0, "1", "", 0.0, "", None, None, 0.0
    )  # fmt: skip


ROLLOUTS = Rollouts(
    problems={5: PROBLEM},
    attempts={
        1: attempt(1, "Answer: 5"),
        2: attempt(2, "Answer: 4", turn=2, reflection=11),
        3: attempt(3, "so 4. Answer: 4", turn=3, reflection=13),
    },
    reflections={
        11: reflection(11, "count again"),
        12: reflection(12, "no idea", key="2-2-2"),
        13: reflection(13, "count from two", of=2),
    },
    compose=lambda key: f"instruction {key}",
    show_previous_attempt=True,
)
D_PLUS = CuratedRow(31, 1, "d_plus", 11, None, 2, True, "included")
D_PM = CuratedRow(32, 1, "d_pm", 11, 12, None, True, "included")
D_PREF = CuratedRow(33, 1, "d_pref", 12, 11, None, True, "included")
ASKED = tuple(reflection_messages(PROBLEM, "Answer: 5", "instruction 1-1-1"))


def said(text: str) -> tuple[dict[str, str], ...]:
    return ({"role": "assistant", "content": text},)


def test_one_stage_teaches_the_reflection_and_the_corrected_attempt() -> None:
    ((example,),) = stage_examples("sft-one-stage", [D_PLUS], ROLLOUTS)
    assert isinstance(example, Example)
    assert example.prompt == tuple(one_stage_messages(PROBLEM, "Answer: 5", "instruction 1-1-1"))
    assert example.completion == said(f"count again\n\n{SECOND_TRY}\nAnswer: 4")
    assert (example.id, example.question_id) == (31, 5)


@pytest.mark.parametrize("shown", [True, False, "quoted"])
def test_two_stages_train_what_will_be_asked(shown: PreviousAttempt) -> None:
    (first,), (second,) = stage_examples("sft-two-stage", [D_PLUS], replace(ROLLOUTS, show_previous_attempt=shown))
    assert first == Example(31, ASKED, said("count again"), 5)  # type: ignore[arg-type]
    again = tuple(correction_messages(PROBLEM, "Answer: 5", "count again", show_previous_attempt=shown))
    assert second == Example(31, again, said("Answer: 4"), 5)  # type: ignore[arg-type]
    assert any(turn["role"] == "assistant" for turn in again) == (shown is True)


@pytest.mark.parametrize(("setting", "row"), [("dpo-verdict", D_PM), ("dpo-judge", D_PREF)])
def test_pairs_of_two_instructions_are_asked_with_the_general_one(setting: TrainingSetting, row: CuratedRow) -> None:
    ((pair,),) = stage_examples(setting, [row], ROLLOUTS)
    assert isinstance(pair, Pair)
    chosen, rejected = ROLLOUTS.reflections[row.reflection_id], ROLLOUTS.reflections[row.rejected_reflection_id or 0]
    assert chosen.instruction != rejected.instruction
    assert pair.prompt == tuple(reflection_messages(PROBLEM, "Answer: 5", "instruction general"))
    same = {**ROLLOUTS.reflections, rejected.id: replace(rejected, instruction=chosen.instruction)}
    ((asked,),) = stage_examples(setting, [row], replace(ROLLOUTS, reflections=same))
    assert isinstance(asked, Pair)
    assert asked.prompt == tuple(reflection_messages(PROBLEM, "Answer: 5", f"instruction {chosen.instruction}"))
    assert (pair.chosen, pair.rejected) == (said(chosen.text), said(rejected.text))
    assert pair.question_id == 5


def test_a_later_round_is_trained_on_the_attempt_it_reflected_on() -> None:
    row = CuratedRow(34, 1, "d_plus", 13, None, 3, True, "included")
    ((example,),) = stage_examples("sft-one-stage", [row], ROLLOUTS)
    assert example.prompt == tuple(one_stage_messages(PROBLEM, "Answer: 4", "instruction 1-1-1"))


def test_the_baseline_answers_the_question_without_reflecting() -> None:
    question = StoredQuestion(5, "sums", "mathematics", "train", "What is 2 + 2?", (), "4", {}, "hash")
    plain = question_example(question, PROBLEM)
    assert plain == Example(5, tuple(attempt_messages(PROBLEM)), said("Answer: 4"), 5)  # type: ignore[arg-type]
    worked = question_example(replace(question, payload={"worked": "2 and 2 make 4.\nAnswer: 4"}), PROBLEM)
    assert worked.completion == said("2 and 2 make 4.\nAnswer: 4")


def test_rows_that_point_nowhere_are_named() -> None:
    with pytest.raises(EngineError, match=r"row 31 .* correction 99"):
        stage_examples("sft-two-stage", [replace(D_PLUS, correction_id=99)], ROLLOUTS)
    with pytest.raises(EngineError, match=r"a rejected reflection"):
        stage_examples("dpo-verdict", [replace(D_PM, rejected_reflection_id=None)], ROLLOUTS)
    assert stage_examples("sft-two-stage", [], ROLLOUTS) == ((),)
    assert list(TRAINING_SETTINGS)[:5] == ["sft-one-stage", "sft-two-stage", "dpo-verdict", "dpo-judge", "sft-qa"]


def request(setting: TrainingSetting, **settings: Any) -> TrainingRequest:
    made = TrainingSection.model_validate({"setting": setting, **settings})
    return TrainingRequest(setting, Path("/b"), Path("/a"), (), made, 0, Path("/w"), Path("/d"))


def test_stage_two_has_the_settings_it_sets_and_shares_the_rest() -> None:
    made = request("sft-two-stage", learning_rate=1e-3, patience=1, second_stage={"epochs": 5.0, "patience": 3})
    first, second = stages_of(made)
    assert (first.settings.patience, second.settings.patience) == (1, 3)
    assert (first.settings.epochs, second.settings.epochs, second.settings.learning_rate) == (1.0, 5.0, 1e-3)
    assert second_stage(second.settings) == second.settings


def test_a_parent_with_two_adapters_stays_two() -> None:
    def trained(one: TrainingRequest) -> list[tuple[str, Path | None]]:
        return [(stage.trained, stage.start) for stage in stages_of(replace(one, parent_reflector=Path("/r")))]

    two = request("sft-two-stage", adapters="separate")
    assert trained(two) == [("reflector", Path("/r")), ("reasoner", Path("/a"))]
    assert [(stage.trained, stage.start) for stage in stages_of(two)] == [
        ("reflector", Path("/a")),
        ("reasoner", Path("/a")),
    ]
    assert trained(request("dpo-verdict")) == [("reflector", Path("/r"))]
    assert trained(request("sft-qa")) == [("reasoner", Path("/a"))]
    for refused in (request("sft-one-stage"), request("sft-two-stage"), request("dpo-judge", method="full")):
        with pytest.raises(TrainingRefused, match="two adapters"):
            trained(refused)


def test_settings_that_cant_work_are_all_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real = GenerationSection(generator="transformers")

    def problems(**settings: Any) -> list[str]:
        return check_training(TrainingSection.model_validate(settings), real)

    assert problems() == problems(setting="sft-two-stage", adapters="separate") == problems(method="full") == []
    assert problems(patience=2, validation_share=0.1) == []
    found = problems(patience=2, adapters="separate", method="full", second_stage={"patience": 1})
    assert len(found) == 3
    assert all(part in " ".join(found) for part in ("sft-two-stage", "method = 'lora'", "validation_share"))
    assert len(problems(setting="sft-two-stage", second_stage={"patience": 1})) == 1
    assert "lm_head" in problems(lora_targets=["q_proj", "lm_head"])[0]
    monkeypatch.setattr("engine.training.validation._has_cuda", lambda: False)
    assert any("needs a CUDA device" in problem and "'lora'" in problem for problem in problems(method="qlora"))
    assert check_training(TrainingSection(method="qlora"), GenerationSection(generator="scripted")) == []
    monkeypatch.setattr("engine.training.validation._has_cuda", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "bitsandbytes" else object())
    assert any("reflectevo[gpu]" in problem for problem in qlora_problems())


def test_right_first_attempts_are_rehearsed_as_they_were_given_and_of_each_task_alike() -> None:
    """Only correct answers of the policy itself, prompted as first attempts; a task with many of them doesn't crowd out
    one with few. The same seed selects the same ones, so that a training can be resumed.
    """
    questions = [
        StoredQuestion(
            number, "many" if number < 20 else "few", "", "train", f"q{number}", (), "4", {}, f"hash{number}"
        )
        for number in range(10, 23)
    ]
    given = {
        one.id: replace(
            attempt(one.id, f"so {one.id}. Answer: 4"),
            question_id=one.id,
            verdict="incorrect" if one.id == 11 else "correct",
        )
        for one in questions
    }
    vote = replace(given[12], id=90, sample=1, reasoning="a vote")
    later = replace(given[11], id=91, turn=2, verdict="correct", reflection_id=11)
    problems = {one.id: Problem(one.text, "Answer.") for one in questions}
    found = replace(ROLLOUTS, problems=problems, attempts=given | {90: vote, 91: later})
    chosen = rehearsal(questions, found, 6, seed=1, curation=CurationSection())
    assert len({example.question_id for example in chosen}) == 6
    assert sum((example.question_id or 0) >= 20 for example in chosen) == 3
    for example in chosen:
        number = example.question_id or 0
        assert example == Example(
            -number, tuple(attempt_messages(problems[number])), said(f"so {number}. Answer: 4"), number
        )
    assert (
        rehearsal(questions, found, 6, seed=1, curation=CurationSection())
        == chosen
        != rehearsal(questions, found, 6, seed=2, curation=CurationSection())
    )
    everything = rehearsal(questions, found, 100, seed=1, curation=CurationSection())
    assert {example.question_id for example in everything} == {one.id for one in questions} - {11}
    cut = replace(found, attempts=found.attempts | {12: replace(given[12], finish_reason="length")})
    without = rehearsal(questions, cut, 100, seed=1, curation=CurationSection())
    assert {example.question_id for example in without} == {one.id for one in questions} - {11, 12}
    assert rehearsal(questions, found, 0, seed=1, curation=CurationSection()) == ()


def test_a_corrected_attempt_is_distilled_without_a_word_of_the_failure() -> None:
    """Prompted as first attempts: with the wrong answer or the reflection in the prompt it would not be one."""
    (example,) = distillation([D_PLUS], ROLLOUTS, CurationSection())
    assert example == Example(-2, tuple(attempt_messages(PROBLEM)), said("Answer: 4"), 5)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="correction 9"):
        distillation([replace(D_PLUS, correction_id=9)], ROLLOUTS, CurationSection())
