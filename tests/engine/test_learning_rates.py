"""Tests of default learning rates by setting and method, and of the warnings outside the usual range."""

from __future__ import annotations

import pytest

from engine.commands.check.machine import check_training_possible
from store.curation.learning_rates import RATES_OF_LOSS
from store.curation.training_settings import TRAINING_SETTINGS
from store.settings import TrainingSection
from store.settings.toml_file import validate_settings
from tests.support.rows import run_settings


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
@pytest.mark.parametrize("setting", sorted(TRAINING_SETTINGS))
def test_an_unset_learning_rate_is_usual_for_setting_and_method(setting: str, method: str) -> None:
    """Faults row 23: DPO and full fine-tuning were trained at the 1e-3 of LoRA SFT, without a word."""
    training = TrainingSection.model_validate({"setting": setting, "method": method})
    usual = TRAINING_SETTINGS[setting].learning_rate(training.method)
    assert usual.lowest <= training.peak_learning_rate == usual.default <= usual.highest
    assert training.unusual_learning_rates() == []
    for rate in (usual.lowest / 2, usual.highest * 2):
        (warning,) = training.model_copy(update={"learning_rate": rate}).unusual_learning_rates()
        assert all(part in warning for part in (f"{rate:g}", setting, f"{usual.default:g}"))


def test_preferences_and_full_fine_tuning_have_far_lower_rates() -> None:
    for rates in RATES_OF_LOSS.values():
        assert rates.full.default <= rates.lora.default / 10
    for loss in ("dpo", "kto"):
        assert RATES_OF_LOSS[loss].lora.default <= RATES_OF_LOSS["sft"].lora.default / 50  # type: ignore[index]


def test_a_changed_setting_takes_its_own_rate_and_a_stored_one_stays() -> None:
    """A run stored with a rate, by an earlier version too, keeps it; one without follows the setting at each gate."""
    stored = run_settings().model_dump(mode="json")
    changed = validate_settings({**stored, "training": {**stored["training"], "setting": "dpo-verdict"}})
    assert (stored["training"]["learning_rate"], changed.training.peak_learning_rate) == (None, 5e-6)
    old = {**stored["training"], "learning_rate": 1e-3, "setting": "dpo-verdict"}
    kept = validate_settings({**stored, "training": old}).training
    assert kept.peak_learning_rate == 1e-3 and "outside the usual range" in kept.unusual_learning_rates()[0]


def test_the_second_stage_is_warned_of_too_and_only_where_there_is_one() -> None:
    second = {"second_stage": {"learning_rate": 0.5}}
    (warning,) = TrainingSection.model_validate({"setting": "sft-two-stage", **second}).unusual_learning_rates()
    assert warning.startswith("training.second_stage.learning_rate = 0.5")
    assert TrainingSection.model_validate(second).unusual_learning_rates() == []


def test_the_dry_run_warns_of_an_unusual_rate() -> None:
    pytest.importorskip("trl")
    training = {"setting": "dpo-verdict", "learning_rate": 1e-3}
    found = check_training_possible(run_settings(generation={"generator": "transformers"}, training=training))
    assert [(one.level, one.where) for one in found] == [("ok", "training"), ("warning", "training.learning_rate")]
