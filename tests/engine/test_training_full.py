"""Tests of full fine-tuning, and of references that no adapter switch provides: complete models on disk, frozen
references beside them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

from engine.models.loading import load_model, load_tokenizer, whole_model  # noqa: E402
from engine.models.precision import Precision  # noqa: E402
from engine.prompts.chat_format import ChatFormat  # noqa: E402
from engine.training.request import TrainingRequest  # noqa: E402
from engine.training.train_stage import StageRun  # noqa: E402
from engine.training.trl.loading import load_for_training  # noqa: E402
from store.settings import TrainingSection  # noqa: E402
from tests.engine.training_process import PAIRS, request_in  # noqa: E402
from tests.engine.training_runs import Scripted, alike, logits, run, weights_in  # noqa: E402
from tests.support.pair_views import pair_views  # noqa: E402

CPU = Precision("cpu", "float32", False)


@pytest.fixture(scope="module")
def full(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRequest:
    """A fully fine-tuned policy."""
    request = request_in(tmp_path_factory.mktemp("full"), tiny_model, "full")
    result, metrics = run(request)
    assert result.completed and metrics[12]["loss"] < metrics[1]["loss"]
    return request


@pytest.fixture(scope="module")
def adapted(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRequest:
    """A policy with an adapter."""
    request = request_in(tmp_path_factory.mktemp("lora"), tiny_model)
    run(request)
    return request


def test_a_full_policy_is_a_whole_model_in_the_format_of_its_base(full: TrainingRequest, tiny_model: Path) -> None:
    policy = full.destination
    assert sorted(path.name for path in policy.iterdir()) == ["STABLE", "merged", "policy.json"]
    for name in ("generation_config.json", "chat_template.jinja"):
        assert (policy / "merged" / name).read_text() == (tiny_model / name).read_text()
    tokenizer = load_tokenizer(policy / "merged")
    model = load_model(policy / "merged", "auto")
    assert model.dtype == load_model(tiny_model, "auto").dtype
    base = load_model(tiny_model, "auto")
    assert not torch.allclose(logits(model, tokenizer), logits(base, tokenizer), atol=1e-3)
    changed = [name for name, part in base.state_dict().items() if not torch.equal(part, model.state_dict()[name])]
    assert any("embed_tokens" in name for name in changed) and any("mlp" in name for name in changed)


def test_a_base_in_bfloat16_is_trained_in_float32_and_written_in_bfloat16(tiny_model: Path, tmp_path: Path) -> None:
    """A rate of 1e-4 changes no bfloat16 weight by less than it rounds away; float32 keeps the small steps."""
    base = tmp_path / "base"
    load_model(tiny_model, torch.bfloat16).save_pretrained(base)
    load_tokenizer(tiny_model).save_pretrained(base)
    request = replace(request_in(tmp_path, base, "full"))
    run(request, Scripted(stop_at=3))
    held = _model_in(request.work_dir / "checkpoint-3")
    assert {part.dtype for part in held.values()} == {torch.float32}
    run(request)
    assert {part.dtype for part in weights_in(request.destination).values()} == {torch.bfloat16}


def test_full_training_starts_from_the_parents_adapter_folded_in(
    adapted: TrainingRequest, tiny_model: Path, tmp_path: Path
) -> None:
    parent = adapted.destination
    settings = adapted.settings.model_copy(update={"method": "full", "learning_rate": 1e-12, "epochs": 0.2})
    child = replace(
        adapted,
        parent_adapter=parent / "adapter",
        settings=settings,
        work_dir=tmp_path / "w",
        destination=tmp_path / "p",
    )
    run(child)
    assert alike(weights_in(child.destination), _model_in(parent / "merged"), tolerance=1e-5)


def test_an_adapter_on_a_full_policy_is_relative_to_it(full: TrainingRequest, tmp_path: Path) -> None:
    from peft import PeftModel

    base = full.destination / "merged"
    settings = full.settings.model_copy(update={"method": "lora", "learning_rate": 1e-2})
    child = replace(full, base=base, settings=settings, work_dir=tmp_path / "w", destination=tmp_path / "p")
    run(child)
    tokenizer = load_tokenizer(base)
    merged = logits(load_model(child.destination / "merged", "float32"), tokenizer)
    adapter = PeftModel.from_pretrained(load_model(base, "float32"), child.destination / "adapter")
    assert torch.allclose(merged, logits(adapter, tokenizer), atol=1e-5)
    assert json.loads((child.destination / "adapter" / "adapter_config.json").read_text())["peft_type"] == "LORA"


def test_two_full_stages_follow_each_other(tiny_model: Path, tmp_path: Path) -> None:
    request = request_in(tmp_path, tiny_model, "two-stage")
    settings = request.settings.model_copy(update={"method": "full", "learning_rate": 1e-3})
    request = replace(request, settings=settings)
    assert run(request, Scripted(stop_at=6))[0].steps == 6
    result, metrics = run(request)
    assert (result.completed, result.steps, min(metrics)) == (True, 12, 7)
    assert not alike(weights_in(request.destination), _model_in(tiny_model), tolerance=1e-4)


def test_folding_in_an_adapter_gives_the_merged_model(adapted: TrainingRequest, tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    folded = whole_model(tiny_model, adapted.destination / "adapter", "float32")
    merged = load_model(adapted.destination / "merged", "float32")
    assert torch.allclose(logits(folded, tokenizer), logits(merged, tokenizer), atol=1e-6)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("reference", ["base", "parent"])
def test_the_reference_is_the_chosen_policy_behind_a_full_parent(
    method: str, reference: str, full: TrainingRequest, tiny_model: Path, tmp_path: Path
) -> None:
    """The parent is fully fine-tuned, so the run's base is another model: log-probabilities equal those of the named
    reference, before and after training, and training moves the policy away from it.
    """
    from engine.training.trl.arguments import Batch, shared_arguments
    from engine.training.trl.dpo import dpo_trainer

    parent = full.destination / "merged"
    settings = TrainingSection.model_validate(
        {"setting": "dpo-verdict", "method": method, "reference": reference, "batch_size": 2, "learning_rate": 1e-3}
    )
    form = ChatFormat(load_tokenizer(parent))
    model = load_for_training(parent, None, settings, CPU)
    stage = StageRun("dpo-verdict", settings, parent, None, tiny_model, PAIRS, (), 0, tmp_path / "work", form, after="")
    shared = shared_arguments(settings, Batch(2, 1), CPU, 0, tmp_path, examples=8)
    trainer = dpo_trainer(model, form, PAIRS, settings, shared, [], **stage._reference(model, CPU))
    batch = trainer.data_collator([trainer.train_dataset[0]])
    trainer.train()
    expected = load_model(tiny_model if reference == "base" else parent, "float32")
    used = trainer.ref_model if trainer.ref_model is not None else trainer.model
    found = trainer.compute_ref_log_probs(used, batch)
    for value, view in zip(found, pair_views(PAIRS[0], form), strict=True):
        assert value.item() == pytest.approx(_log_probability(expected, view), abs=1e-3)
    moved = [_log_probability(trainer.model, view) for view in pair_views(PAIRS[0], form)]
    assert moved[0] != pytest.approx(found[0].item(), abs=1e-3)


def test_preference_training_of_a_whole_model_resumes(tiny_model: Path, tmp_path: Path) -> None:
    request = request_in(tmp_path / "a", tiny_model, "dpo")
    settings = request.settings.model_copy(update={"method": "full", "learning_rate": 1e-3})
    whole = replace(request, settings=settings)
    _, metrics = run(whole)
    assert metrics[8]["rewards/margins"] > metrics[1]["rewards/margins"]
    stopped = replace(whole, work_dir=tmp_path / "b", destination=tmp_path / "c")
    run(stopped, Scripted(stop_at=5))
    _, metrics = run(stopped)
    assert min(metrics) == 6
    assert alike(weights_in(whole.destination), weights_in(stopped.destination))


def _log_probability(model: Any, view: Any) -> float:
    ids = torch.tensor([view.ids])
    with torch.no_grad():
        scores = model.eval()(input_ids=ids).logits[0, :-1].log_softmax(-1)
    taken = scores.gather(1, ids[0, 1:, None])[:, 0]
    return float((taken * torch.tensor(view.loss_mask[1:])).sum())


def _model_in(directory: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(directory / "model.safetensors"))
