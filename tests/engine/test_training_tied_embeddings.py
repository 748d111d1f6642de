"""Tests that no adapter is trained on an embedding whose weights are the output layer's too: the merged policy would
answer otherwise than the trained one (faults row 22, transformers#45127).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

from engine.commands.check.models import check_lora_targets  # noqa: E402
from engine.errors import TrainingRefused  # noqa: E402
from engine.models.loading import load_model, load_tokenizer  # noqa: E402
from engine.training.trl.loading import load_for_training  # noqa: E402
from store.settings import TrainingSection  # noqa: E402
from tests.engine.training_process import request_in  # noqa: E402
from tests.engine.training_runs import logits, run  # noqa: E402
from tests.support.rows import run_settings  # noqa: E402


@pytest.fixture(scope="module")
def untied(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with an output layer of its own."""
    directory = tmp_path_factory.mktemp("untied") / "model"
    shutil.copytree(tiny_model, directory)
    model = load_model(tiny_model, "float32")
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone() + 0.01)
    model.save_pretrained(directory)
    return directory


def section(targets: list[str] | str, **more: Any) -> TrainingSection:
    return TrainingSection.model_validate({"lora_targets": targets, **more})


@pytest.mark.parametrize(
    "targets",
    [["embed_tokens"], ["q_proj", "embed_tokens"], ["model.embed_tokens"], ["embed_tokens", "v_proj", "k_proj"]],
)
def test_a_tied_embedding_is_refused_before_training_and_by_the_dry_run(targets: list[str], tiny_model: Path) -> None:
    with pytest.raises(TrainingRefused, match="shares with its output layer"):
        load_for_training(tiny_model, None, section(targets))
    (finding,) = check_lora_targets(run_settings(training={"lora_targets": targets}), tiny_model)
    assert (finding.level, finding.where) == ("error", "training.lora_targets")
    assert "embed_tokens" in finding.what and finding.fix


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "down_proj"]])
def test_other_targets_of_a_tied_model_are_trained(targets: list[str] | str, tiny_model: Path) -> None:
    model = load_for_training(tiny_model, None, section(targets))
    assert any(part.requires_grad for part in model.parameters())
    assert check_lora_targets(run_settings(training={"lora_targets": targets}), tiny_model) == []


def test_full_fine_tuning_keeps_the_tie(tiny_model: Path) -> None:
    model = load_for_training(tiny_model, None, section(["embed_tokens"], method="full"))
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    training = {"lora_targets": ["embed_tokens"], "method": "full"}
    assert check_lora_targets(run_settings(training=training), tiny_model) == []


def test_an_embedding_of_its_own_is_trained_and_served_alike(untied: Path, tmp_path: Path) -> None:
    request = request_in(tmp_path, untied)
    settings = request.settings.model_copy(update={"lora_targets": ["embed_tokens", "q_proj"], "epochs": 0.5})
    assert check_lora_targets(run_settings(training={"lora_targets": ["embed_tokens"]}), untied) == []
    run(replace(request, settings=settings))
    tokenizer = load_tokenizer(untied)
    trained = load_for_training(untied, request.destination / "adapter", settings)
    served = load_model(request.destination / "merged", "float32")
    assert torch.allclose(logits(trained, tokenizer), logits(served, tokenizer), atol=1e-4)


def test_an_adapter_that_has_it_already_is_not_continued(tiny_model: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    made = get_peft_model(load_model(tiny_model, "float32"), LoraConfig(target_modules=["embed_tokens", "q_proj"]))
    made.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    with pytest.raises(TrainingRefused, match="start from another policy"):
        load_for_training(tiny_model, tmp_path / "adapter", section(["q_proj"]))


def test_targets_that_the_model_does_not_have_are_named_by_the_dry_run(tiny_model: Path, tmp_path: Path) -> None:
    """Faults row 14: found only after the rollouts were paid for."""
    (finding,) = check_lora_targets(run_settings(training={"lora_targets": ["c_attn"]}), tiny_model)
    assert "c_attn" in finding.what and "q_proj" in finding.what and "down_proj" in finding.what
    (finding,) = check_lora_targets(run_settings(training={"lora_targets": ["q_proj", "wq"]}), tiny_model)
    assert finding.level == "error" and "wq" in finding.what and "q_proj, " not in finding.what.split("layers")[0]


def test_a_model_that_cannot_be_built_is_not_an_error_of_the_targets(tmp_path: Path) -> None:
    """Other checks name what is wrong with it."""
    assert check_lora_targets(run_settings(), None) == check_lora_targets(run_settings(), tmp_path) == []
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such-model"}), encoding="utf-8")
    assert check_lora_targets(run_settings(), tmp_path) == []
