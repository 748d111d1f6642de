"""Tests the estimate that the command, the Launch screen and the gates print: hand-computed cases, unknown values
remain names, and sums match their parts."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.estimates.estimate import Estimate, estimate
from store.estimates.expected_examples import examples_of_attempt
from store.estimates.formulas import Owed, StageEstimate
from store.estimates.inputs import MEANINGS, EstimateRefused, Figures, assumed, from_file
from store.estimates.inputs import given as given_figures
from store.estimates.training_steps import planned_steps
from store.estimates.wording import stage_words
from store.settings import RunSettings

TASK = {"kind": "choice", "name": "quiz", "path": "quiz.jsonl", "train": 100, "test": 10}
ROUND = (
    "question_tokens=100",
    "attempt_tokens=50",
    "reflection_tokens=80",
    "correction_tokens=40",
    "attempt_overhead_tokens=20",
    "reflection_overhead_tokens=30",
    "correction_overhead_tokens=10",
    "wrong_share=0.5",
    "held_out_wrong_share=0.5",
    "yield_share=0.25",
)
RATES = (
    "generation_tokens_per_s=100",
    "training_tokens_per_s=500",
    "curated_per_s=250",
    "load_s=30",
    "training_start_s=20",
)


def run_settings(**changes: Any) -> RunSettings:
    values = {
        "model": "meta-llama/Meta-Llama-3-8B-Instruct",
        "tasks": [TASK],
        "reflection": {"instructions": "random:2", "samples": 2},
        "evaluation": {"retry_baseline": False},
    }
    return RunSettings.model_validate(values | changes)


def estimated(words: tuple[str, ...] = ROUND + RATES, owed: Owed | None = None, **changes: Any) -> Estimate:
    chosen = run_settings(**changes)
    return estimate(chosen, Figures(assumed(chosen, None), given_figures(words)), owed)


def stage(found: Estimate, name: str) -> StageEstimate:
    return next(one for one in found.first if one.stage == name)


def numbers(found: StageEstimate) -> tuple[float | None, ...]:
    """Return texts, prompt, generated and training tokens, seconds."""
    terms = (found.texts, found.prompt_tokens, found.generated_tokens, found.training_tokens, found.seconds)
    return tuple(None if term.value is None else round(term.value, 6) for term in terms)


def test_an_iteration_by_hand() -> None:
    """100 questions, half of them wrong, 2 instructions × 2 samples: 200 reflections and corrections."""
    found = estimated()
    assert numbers(stage(found, "attempt")) == (100, 100 * 120, 100 * 50, 0, 50)
    assert numbers(stage(found, "reflect")) == (200, 200 * (120 + 50 + 30), 200 * 80, 0, 160)
    assert numbers(stage(found, "correct")) == (200, 200 * (120 + 50 + 80 + 10), 200 * 40, 0, 80)
    # 50 right attempts and 200 reflections are trajectories.
    assert numbers(stage(found, "curate")) == (250, 0, 0, 0, 1)
    # Two policies on 10 questions, 5 wrong: 20 attempts, 10 reflections, 10 corrections.
    texts, prompt, generated = 40, 20 * 120 + 10 * (200 + 260), 20 * 50 + 10 * (80 + 40)
    assert numbers(stage(found, "evaluate")) == (texts, prompt, generated, 0, generated / 100)
    assert numbers(stage(found, "loads")) == (0, 0, 0, 0, 60)


def test_training_by_hand() -> None:
    """D+ uses at most two of four reflections of a wrong attempt; each succeeds with 1/4."""
    chances = [81 / 256, 108 / 256, 54 / 256, 12 / 256, 1 / 256]
    examples = 50 * (chances[1] * 1 + (chances[2] + chances[3] + chances[4]) * 2)
    length = 200 + 80 + 40
    found = stage(estimated(training={"epochs": 3}), "train")
    assert numbers(found) == tuple(
        round(value, 6) for value in (examples, 0, 0, examples * 3 * length, 20 + examples * 3 * length / 500)
    )


@pytest.mark.parametrize(
    ("training", "tokens"),
    [
        ({"setting": "sft-one-stage"}, 10 * (280 + 40)),
        ({"setting": "sft-two-stage", "epochs": 2, "second_stage": {"epochs": 3}}, 10 * (2 * 280 + 3 * 300)),
        ({"setting": "sft-one-stage", "rehearsal": 2}, 10 * (280 + 40) + 20 * (120 + 50)),
        (
            {"setting": "sft-two-stage", "epochs": 2, "second_stage": {"epochs": 3}, "rehearsal": 0.5},
            10 * (2 * 280 + 3 * 300) + 5 * 3 * (120 + 50),
        ),
        ({"setting": "sft-one-stage", "distillation": True}, 10 * (280 + 40) + 10 * (120 + 50)),
        ({"setting": "dpo-verdict", "rehearsal": 2, "distillation": True}, 10 * 2 * 280),
        ({"setting": "dpo-verdict"}, 10 * 2 * 280),
        ({"setting": "dpo-judge"}, 10 * 2 * 280),
        ({"setting": "sft-qa"}, 10 * (120 + 50)),
        ({"setting": "kto-verdict", "rehearsal": 2, "distillation": True}, 10 * 280),
        ({"setting": "sft-attempts"}, 10 * (120 + 50)),
        ({"setting": "dpo-attempts"}, 10 * 2 * (120 + 50)),
        ({"setting": "sft-retry"}, 10 * (170 + 40)),
        ({"setting": "sft-two-stage-shuffled"}, 10 * (280 + 300)),
        ({"setting": "sft-one-stage", "validation_share": 0.5, "patience": 1}, 5 * (280 + 40)),
    ],
)
def test_tokens_of_each_training_setting(training: dict[str, Any], tokens: int) -> None:
    """Ten examples: a pair is read twice; two stages each have their own length."""
    found = estimated(owed=Owed(examples=10), training=training)
    assert stage(found, "train").training_tokens.value == pytest.approx(tokens)


def test_what_is_owed_takes_the_place_of_what_was_planned() -> None:
    found = estimated(owed=Owed({"reflect": 8, "curate": 25}, policies=1))
    assert numbers(stage(found, "reflect"))[0] == 8 and numbers(stage(found, "curate"))[0] == 25
    assert numbers(stage(found, "correct"))[0] == 200
    assert numbers(stage(found, "evaluate"))[0] == 20
    assert next(one for one in found.later if one.stage == "reflect").texts.value == 200


def test_later_iterations_measure_only_their_child() -> None:
    found = estimated(iterations=3)
    evaluate = [next(one for one in part if one.stage == "evaluate") for part in (found.first, found.later)]
    assert [one.texts.value for one in evaluate] == [40, 20]
    assert found.over_all("texts").value == 500 + 40 + 2 * (500 + 20)


@pytest.mark.parametrize(
    ("changes", "loads"),
    [({}, 2), ({"gates": ["train", "promote"]}, 2), ({"gates": ["reflect", "evaluate"]}, 4), ({"pace": "step"}, 5)],
)
def test_every_stop_of_the_rollouts_costs_another_load(changes: dict[str, Any], loads: int) -> None:
    assert stage(estimated(**changes), "loads").seconds.value == 30 * loads


def test_gpus_share_the_time_and_all_of_them_are_paid() -> None:
    one = estimated((*ROUND, *RATES, "price_per_gpu_hour=3.6"))
    four = estimated((*ROUND, *RATES, "price_per_gpu_hour=3.6", "gpus=4", "training_gpus=2"))
    assert stage(four, "reflect").seconds.value == pytest.approx((stage(one, "reflect").seconds.value or 0) / 4)
    assert one.cost.value == pytest.approx((one.gpu_seconds.value or 0) / 1000)
    train = stage(four, "train").seconds.value or 0.0
    others = (four.over_all("seconds").value or 0.0) - train
    assert four.gpu_seconds.value == pytest.approx(4 * others + 2 * train)


def test_memory_and_disk_of_llama_3_8b_by_hand() -> None:
    found = estimated()
    weights = 8_030_261_248 * 2
    assert found.generation_bytes.value == weights + 64 * (260 + 40) * 65_536 * 2
    assert found.policy_bytes.value == 4_718_592 * 4
    assert found.training_bytes.unknown == ("activation_bytes_per_token",)
    assert found.training_bytes.factors[()] == weights + 16 * 4_718_592
    assert found.training_bytes.factors[(("activation_bytes_per_token", 1),)] == 8 * 2048
    assert found.database_bytes.value == pytest.approx(250 * (900 + 170 * 6.8))


def test_on_a_cpu_the_merged_model_is_kept_and_nothing_is_paid() -> None:
    found = estimated((*ROUND, *RATES, "gpus=0", "price_per_gpu_hour=2"))
    assert found.policy_bytes.value == 4_718_592 * 4 + 8_030_261_248 * 2
    assert found.cost.value == 0 and stage(found, "attempt").seconds.value == 50


def test_four_bit_weights_spare_the_embeddings() -> None:
    found = estimated(training={"method": "qlora"})
    embeddings = 2 * 128_256 * 4096
    base = (8_030_261_248 - embeddings) * 4.127 / 8 + embeddings * 2
    assert found.training_bytes.factors[()] == pytest.approx(base + 16 * 4_718_592)


def test_without_rates_the_formula_stands_in_their_terms() -> None:
    found = estimated(ROUND)
    assert stage(found, "reflect").seconds.words(str) == "16,000 ÷ generation_tokens_per_s"
    assert found.over_all("seconds").value is None
    assert set(found.over_all("seconds").unknown) == {
        "generation_tokens_per_s",
        "training_tokens_per_s",
        "curated_per_s",
        "load_s",
        "training_start_s",
    }


def test_nothing_is_invented_for_a_model_nobody_knows() -> None:
    chosen = run_settings(model="somebody/else")
    found = estimate(chosen, Figures(assumed(chosen, None)))
    assert stage(found, "reflect").texts.words(str) == "400 × wrong_share"
    assert found.generation_bytes.unknown == ("cached_values", "parameters")
    assert all(found.figures[name].source for name in found.used)


def test_the_paper_is_asked_only_for_what_it_measured() -> None:
    presets = [{"kind": "choice", "preset": "logiqa", "name": "a", "train": 10}]
    known = run_settings(tasks=presets)
    assert assumed(known, None)["wrong_share"].value == pytest.approx(0.698)
    mixed = run_settings(tasks=[*presets, TASK])
    assert "wrong_share" not in assumed(mixed, None)


def test_means_are_never_longer_than_the_settings_allow() -> None:
    short = run_settings(reflection={"max_tokens": 64, "samples": 1})
    assert assumed(short, None)["reflection_tokens"].value == 64


def test_every_figure_that_is_used_has_a_meaning() -> None:
    assert set(estimated(ROUND).used) <= set(MEANINGS)
    chosen = run_settings(model="somebody/else", reflection={"rounds": 3, "instructions": "all"})
    assert set(estimate(chosen, Figures(assumed(chosen, None))).used) <= set(MEANINGS)


@pytest.mark.parametrize(
    "setting", ["sft-one-stage", "dpo-verdict", "dpo-judge", "kto-verdict", "sft-attempts", "dpo-attempts"]
)
def test_expected_examples_are_what_drawing_them_gives(setting: str) -> None:
    chosen = run_settings(training={"setting": setting}, judge={"pairs_per_question": 2})
    draw, tries, made = random.Random(1), 20_000, 0
    for _ in range(tries):
        # Three instructions with two reflections each: pairs share their instruction where they can.
        by_instruction = [sum(draw.random() < 0.3 for _ in range(2)) for _ in range(3)]
        right = sum(by_instruction)
        made += {
            "sft-one-stage": min(2, right),
            "dpo-verdict": min(2, sum(n * (2 - n) for n in by_instruction) or right * (6 - right)),
            "dpo-judge": min(2, sum(n * (n - 1) // 2 for n in by_instruction) or right * (right - 1) // 2),
            "kto-verdict": 6,
            "sft-attempts": min(2, right),
            "dpo-attempts": min(2, right * (6 - right)),
        }[setting]
    assert examples_of_attempt(chosen, 6, 0.3) == pytest.approx(made / tries, abs=0.02)


@pytest.mark.parametrize(
    ("training", "examples", "steps"),
    [
        ({"epochs": 1, "batch_size": 8}, 100, 13),
        ({"epochs": 5, "batch_size": 16, "accumulation": 4}, 100, 10),
        ({"epochs": 3, "batch_size": 2, "accumulation": 4}, 1, 3),
        ({"epochs": 3, "batch_size": 2, "accumulation": 4}, 9, 6),
        ({"epochs": 1.5, "batch_size": 4}, 10, 5),
        ({"epochs": 0.5, "batch_size": 8}, 20, 2),
        ({"epochs": 2, "batch_size": 64}, 3, 2),
        ({"epochs": 2, "batch_size": 8, "validation_share": 0.1}, 50, 12),
        ({"epochs": 1, "batch_size": 8, "validation_share": 0.1}, 2, 1),
        ({"setting": "sft-two-stage", "batch_size": 4, "second_stage": {"epochs": 2, "batch_size": 3}}, 10, 3 + 8),
        ({"epochs": 3}, 0, 0),
    ],
)
def test_every_epoch_takes_whole_steps(training: dict[str, Any], examples: int, steps: int) -> None:
    """The remainder at the end of an epoch is a step of its own; the second row is the paper's one-stage recipe."""
    assert planned_steps(run_settings(training=training).training, examples) == steps


def test_first_attempts_beside_d_plus_take_steps_in_the_last_stage() -> None:
    chosen = {"setting": "sft-two-stage", "epochs": 1, "batch_size": 2, "second_stage": {"epochs": 2}}
    assert planned_steps(run_settings(training=chosen).training, 10) == 5 + 10
    assert planned_steps(run_settings(training=chosen | {"rehearsal": 1.5}).training, 10) == 5 + 26
    assert planned_steps(run_settings(training=chosen | {"distillation": True}).training, 10) == 5 + 20


@settings(max_examples=60)
@given(
    rate=st.floats(min_value=0.1, max_value=1e5),
    wrong=st.floats(min_value=0.01, max_value=1.0),
    fixed=st.floats(min_value=0.01, max_value=1.0),
    gpus=st.integers(min_value=1, max_value=64),
    iterations=st.integers(min_value=1, max_value=5),
    pace=st.sampled_from(["flow", "step"]),
    protocol=st.sampled_from(["oracle", "oracle-free", "both"]),
    rounds=st.integers(min_value=1, max_value=4),
)
def test_parts_add_up_and_a_formula_filled_in_later_is_the_same(
    rate: float, wrong: float, fixed: float, gpus: int, iterations: int, pace: str, protocol: str, rounds: int
) -> None:
    """For all settings: a time whose rate is known equals the formula with the rate filled in afterwards."""
    changes: dict[str, Any] = {
        "iterations": iterations,
        "pace": pace,
        "evaluation": {"protocol": protocol, "rounds": rounds, "retry_samples": 2, "vote_samples": 1},
        "reflection": {"rounds": rounds},
    }
    words = (*ROUND, f"wrong_share={wrong}", f"yield_share={fixed}", f"gpus={gpus}")
    without = estimated((*words, *(one for one in RATES if not one.startswith("generation"))), **changes)
    known = estimated((*words, *RATES, f"generation_tokens_per_s={rate}"), **changes)
    formula = without.over_all("seconds")
    filled = sum(factor * (rate**-1 if product else 1) for product, factor in formula.factors.items())
    assert formula.unknown == ("generation_tokens_per_s",)
    assert known.over_all("seconds").value == pytest.approx(filled)
    assert known.over_all("generated_tokens").value == pytest.approx(
        sum(one.generated_tokens.value or 0 for one in known.first)
        + (iterations - 1) * sum(one.generated_tokens.value or 0 for one in known.later)
    )


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("gpus", "not a figure"),
        ("gpus=four", "not a figure"),
        ("gpu=4", "did you mean 'gpus'"),
        ("wrong_share=1.2", "between 0 and 1"),
        ("generation_tokens_per_s=0", "can't be that"),
        ("load_s=-1", "can't be that"),
        ("load_s=inf", "can't be that"),
    ],
)
def test_impossible_figures_are_refused_with_a_reason(word: str, says: str) -> None:
    with pytest.raises(EstimateRefused, match=says):
        given_figures([word])


def test_the_operators_file(tmp_path: Any) -> None:
    path = tmp_path / "estimate.toml"
    assert from_file(path) == {}
    path.write_text("gpus = 4\nprice_per_gpu_hour = 2.5\n")
    kept = from_file(path)
    assert kept["gpus"].value == 4 and kept["price_per_gpu_hour"].source == "kept in estimate.toml"
    for wrong in ("gpus = true", "gpus = 'four'", "gpus =", "speed = 3"):
        path.write_text(wrong)
        with pytest.raises(EstimateRefused):
            from_file(path)


def test_a_stage_in_words() -> None:
    found = estimated((*ROUND, *RATES, "price_per_gpu_hour=9"))
    assert (
        stage_words(found, "reflect") == "about 16,000 generated tokens, 2 min 40 s at 100 tokens/s (given), price 0.40"
    )
    assert stage_words(estimated(ROUND), "reflect") == (
        "about 16,000 generated tokens; time unknown (not measured yet)"
    )


def test_a_stage_whose_share_of_wrong_answers_is_unknown_has_an_upper_bound() -> None:
    """A formula with names is nothing to read at a gate."""
    found = estimated(())
    shown = stage_words(found, "reflect")
    assert shown.startswith("at most ") and "wrong_share" not in shown
    term = stage(found, "reflect").generated_tokens
    assert term.unknown == ("wrong_share",) and term.at_most({"wrong_share": 1.0}) == term.factors[("wrong_share", 1),]
    assert stage(found, "reflect").seconds.at_most({"wrong_share": 1.0}) is None, "a division has no bound"
