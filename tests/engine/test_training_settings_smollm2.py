"""Trains the settings beside the paper's on the packaged SmolLM2-135M at their default learning rates, for six steps.

Prints the loss of the first and last step and the seconds per step of each; docs/training-settings.md quotes them.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")

from engine.models.resolve import resolve_model
from engine.training.build_examples import reply
from engine.training.examples import AnyExample, Example, LabelledExample, Pair
from engine.training.request import TrainingRequest
from store.curation.training_settings import TRAINING_SETTINGS
from store.settings import TrainingSection
from tests.engine.training_process import turn
from tests.engine.training_runs import run, weights_in

pytestmark = pytest.mark.slow

EXAMPLES = 8
STEPS = 6


def _examples(setting: str) -> list[tuple[AnyExample, ...]]:
    """Eight examples per stage: letters to be counted, with a reflection or an attempt that is right or wrong."""
    loss = TRAINING_SETTINGS[setting].loss
    made: list[AnyExample] = []
    for number in range(EXAMPLES):
        word = "reflection"[: 3 + number % 6]
        asked = turn("user", f"How many letters does the word '{word}' have? You answered {len(word) + 1}. Try again.")
        right = f"I counted one letter twice. Spelling {' '.join(word)} gives {len(word)}."
        wrong = f"The word is long, so I would guess again: {len(word) + 2}."
        if loss == "dpo":
            made.append(Pair(number, asked, reply(right), reply(wrong), number))
        elif loss == "kto":
            good = number % 2 == 0
            made.append(LabelledExample(number, asked, reply(right if good else wrong), number, desirable=good))
        else:
            made.append(Example(number, asked, reply(right), number))
    return [tuple(made)] * len(TRAINING_SETTINGS[setting].stages)


EVERY = ("kto-verdict", "sft-attempts", "dpo-attempts", "sft-retry", "sft-two-stage-shuffled")
"""The settings beside the paper's; docs/training-settings.md gives the losses of all of them."""

# One of each trainer that differs; the others take the same path as these, and as the paper's settings.
CHOSEN = EVERY if os.environ.get("REFLECTEVO_EVERY_SETTING") else ("kto-verdict", "sft-two-stage-shuffled")


@pytest.mark.parametrize("setting", CHOSEN)
def test_a_real_model_learns_at_the_default_rate(setting: str, model_cache: Path, tmp_path: Path) -> None:
    base = resolve_model("smollm2-135m-instruct", model_cache).path
    stages = _examples(setting)
    settings = TrainingSection.model_validate(
        {
            "setting": setting,
            "batch_size": 4,
            "epochs": STEPS / 2 / len(stages),
            "warmup": 0.0,
            "lora_dropout": 0.0,
            "min_examples": 1,
        }
    )
    second = tuple(one for one in stages[1] if isinstance(one, Example)) if len(stages) > 1 else ()
    request = TrainingRequest(
        setting, base, None, stages[0], settings, 1, tmp_path / "work", tmp_path / "policy", second_examples=second
    )
    began = time.monotonic()
    result, metrics = run(request)
    seconds = time.monotonic() - began
    losses = [metrics[step]["loss"] for step in sorted(metrics)]
    print(f"\n{setting}: rate {settings.peak_learning_rate:g}, losses", *(f"{loss:.5f}" for loss in losses), end=" ")
    print(f"margin {metrics[result.steps].get('rewards/margins', float('nan')):.5f}, {seconds:.0f} s in all")
    assert result.completed and result.steps == STEPS
    if TRAINING_SETTINGS[setting].loss == "sft":
        assert losses[-1] < losses[0]
    else:  # At the start policy and reference are equal; six steps at the usual rates change little.
        assert losses[0] == pytest.approx({"dpo": 0.6931, "kto": 0.5}[TRAINING_SETTINGS[setting].loss], abs=1e-3)
        assert metrics[STEPS]["rewards/margins"] > 0
    assert any(part.abs().max() > 0 for name, part in weights_in(request.destination).items() if "lora_B" in name)
