"""Tests of real SFT and DPO on a tiny model: the policy on disk is what was trained, and no interruption loses a
training.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

from engine.errors import EngineError, TrainingRefused  # noqa: E402
from engine.models.loading import load_tokenizer  # noqa: E402
from engine.models.policy_directory import is_stable, read_details  # noqa: E402
from engine.models.precision import Precision  # noqa: E402
from engine.prompts.chat_format import ChatFormat  # noqa: E402
from engine.training.examples import Example, token_view  # noqa: E402
from engine.training.request import TrainingRequest, TrainingResult  # noqa: E402
from engine.training.trl.arguments import Batch, shared_arguments  # noqa: E402
from engine.training.trl.loading import load_for_training  # noqa: E402
from store.settings import TrainingSection  # noqa: E402
from tests.engine.training_process import PAIRS, request_in  # noqa: E402
from tests.engine.training_runs import Scripted, alike, logits, raising, run, weights_in  # noqa: E402
from tests.support.pair_views import pair_views  # noqa: E402

CPU = Precision("cpu", "float32", False)
DPO = TrainingSection(
    min_examples=1,
    setting="dpo-verdict",
    batch_size=2,
    checkpoint_steps=2,
    learning_rate=1e-2,
    warmup=0.0,
    lora_dropout=0.0,
)


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingResult]:
    """A policy from one uninterrupted SFT."""
    request = request_in(tmp_path_factory.mktemp("whole"), tiny_model)
    result, metrics = run(request)
    assert sorted(metrics) == list(range(1, 13))
    assert {"loss", "grad_norm", "learning_rate", "mean_token_accuracy"} <= set(metrics[12])
    assert metrics[12]["loss"] < metrics[1]["loss"]
    assert not request.work_dir.exists()
    return request.destination, result


def test_policy_on_disk_is_whole(trained: tuple[Path, TrainingResult], tiny_model: Path) -> None:
    policy, result = trained
    assert is_stable(policy)
    assert (result.completed, result.steps, result.total_steps, result.kept) == (True, 12, 12, 16)
    assert sorted(path.name for path in policy.iterdir()) == ["STABLE", "adapter", "merged", "policy.json"]
    assert read_details(policy)["training"]["total_steps"] == 12
    for name in ("generation_config.json", "chat_template.jinja"):
        assert (policy / "merged" / name).read_text() == (tiny_model / name).read_text()


def test_merged_weights_equal_base_plus_adapter(trained: tuple[Path, TrainingResult], tiny_model: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    policy, _ = trained
    tokenizer = load_tokenizer(policy / "merged")
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    plain = logits(base, tokenizer)
    adapted = logits(PeftModel.from_pretrained(base, policy / "adapter"), tokenizer)
    merged = logits(AutoModelForCausalLM.from_pretrained(policy / "merged"), tokenizer)
    assert torch.allclose(adapted, merged, atol=1e-5)
    assert not torch.allclose(plain, merged, atol=1e-3)


def test_stop_then_resume_gives_the_same_policy(
    trained: tuple[Path, TrainingResult], tiny_model: Path, tmp_path: Path
) -> None:
    """Stopped in the first and again in the second epoch; order and dropout continue as in an uninterrupted
    training.
    """
    request = request_in(tmp_path, tiny_model)
    for stop in (3, 10):
        result, metrics = run(request, Scripted(stop_at=stop))
        assert (result.completed, result.steps) == (False, stop)
        assert not request.destination.exists()
    result, metrics = run(request)
    assert (result.completed, result.steps, min(metrics)) == (True, 12, 11)
    assert alike(weights_in(trained[0]), weights_in(request.destination))


def test_a_whole_policy_is_returned_without_training(trained: tuple[Path, TrainingResult], tiny_model: Path) -> None:
    policy, result = trained
    request = replace(request_in(policy.parents[1], tiny_model), destination=policy)
    again, metrics = run(request)
    assert (again, metrics) == (result, {})


def test_killed_between_last_step_and_save_only_saves(
    trained: tuple[Path, TrainingResult], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_in(tmp_path, tiny_model)
    with monkeypatch.context() as broken:
        broken.setattr("engine.training.train.save_policy", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(request)
    result, metrics = run(request)
    assert (result.steps, result.completed, metrics) == (12, True, {})
    assert alike(weights_in(trained[0]), weights_in(request.destination), tolerance=0.0)


def test_other_examples_do_not_continue_old_checkpoints(tiny_model: Path, tmp_path: Path) -> None:
    request = request_in(tmp_path, tiny_model)
    run(request, Scripted(stop_at=4))
    result, metrics = run(replace(request, examples=request.examples[:6]), Scripted(stop_at=2))
    assert (result.total_steps, min(metrics)) == (5, 1)


def test_save_request_and_pause_leave_a_checkpoint(tiny_model: Path, tmp_path: Path) -> None:
    request = request_in(tmp_path, tiny_model)
    run(request, Scripted(save_at=1, stop_at=2))
    assert {path.name for path in request.work_dir.glob("checkpoint-*")} == {"checkpoint-1", "checkpoint-2"}
    control = Scripted(pause_polls=3, stop_at=4)
    result, _ = run(request, control)
    assert (control.idle, result.steps) == (3, 4)


def test_over_long_examples_are_dropped_and_counted(tiny_model: Path, tmp_path: Path) -> None:
    request = request_in(tmp_path, tiny_model)
    long = Example(99, request.examples[0].prompt, ({"role": "assistant", "content": "x" * 300},))
    settings = request.settings.model_copy(update={"max_length": 100, "epochs": 0.1})
    result, _ = run(replace(request, examples=(*request.examples, long), settings=settings))
    assert (result.kept, result.dropped) == (16, 1)
    assert result.dropped_reasons[0][0] == 99
    with pytest.raises(TrainingRefused, match="too few"):
        run(replace(request, destination=tmp_path / "other", settings=settings.model_copy(update={"min_examples": 17})))
    with pytest.raises(TrainingRefused, match="Pair rows only"):
        run(replace(request, destination=tmp_path / "other", setting="dpo-verdict"))


def test_the_trainers_see_the_tokens_shown_to_operators(tiny_model: Path, tmp_path: Path) -> None:
    from engine.training.trl.dpo import dpo_trainer
    from engine.training.trl.sft import sft_trainer

    request, form = request_in(tmp_path, tiny_model), ChatFormat(load_tokenizer(tiny_model))
    shared = shared_arguments(request.settings, Batch(2, 1), CPU, 0, tmp_path, examples=8)
    model = load_for_training(tiny_model, None, request.settings, CPU)
    sft = sft_trainer(model, form, request.examples, request.settings, shared, [])
    for example, row in zip(request.examples, sft.train_dataset, strict=True):
        view = token_view(example, form)
        assert tuple(row["input_ids"]) == view.ids
        assert tuple(int(label != -100) for label in row["labels"]) == view.loss_mask
    dpo = dpo_trainer(load_for_training(tiny_model, None, DPO, CPU), form, PAIRS, DPO, shared, [])
    for pair, row in zip(PAIRS, dpo.train_dataset, strict=True):
        chosen, rejected = pair_views(pair, form)
        assert tuple(row["prompt_ids"] + row["chosen_ids"]) == chosen.ids
        assert tuple(row["prompt_ids"] + row["rejected_ids"]) == rejected.ids
        assert len(row["prompt_ids"]) == chosen.loss_mask.count(0)


def test_leaving_out_prompt_logits_changes_no_gradient(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trl.trainer.utils as fused_head

    from engine.training.trl.completion_logits import score_completions_only
    from engine.training.trl.sft import sft_trainer

    def step() -> tuple[Any, list[Any]]:
        torch.manual_seed(0)
        request = request_in(tmp_path, tiny_model)
        settings = request.settings.model_copy(update={"lora_dropout": 0.0})
        shared = shared_arguments(settings, Batch(4, 1), CPU, 0, tmp_path, examples=8)
        model = load_for_training(tiny_model, None, settings, CPU)
        trainer = sft_trainer(model, ChatFormat(load_tokenizer(tiny_model)), request.examples, settings, shared, [])
        loss = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
        loss.backward()
        return loss.detach(), [part.grad for part in trainer.model.parameters() if part.grad is not None]

    monkeypatch.setattr(fused_head, "_use_triton", lambda device: False)
    all_tokens = step()
    assert score_completions_only()
    completion_tokens = step()
    assert torch.allclose(all_tokens[0], completion_tokens[0], atol=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(all_tokens[1], completion_tokens[1], strict=True))


@pytest.mark.parametrize("reference", ["base", "parent"])
def test_dpo_reference_is_the_chosen_policy(
    reference: str, trained: tuple[Path, TrainingResult], tiny_model: Path, tmp_path: Path
) -> None:
    """Reference log-probabilities equal those of a model built independently; they stay so after a resume."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from engine.training.trl.dpo import dpo_trainer

    settings = DPO.model_copy(update={"reference": reference})
    parent, form = trained[0] / "adapter", ChatFormat(load_tokenizer(tiny_model))
    shared = shared_arguments(settings, Batch(2, 1), CPU, 0, tmp_path, examples=8)
    expected: Any = AutoModelForCausalLM.from_pretrained(tiny_model)
    if reference == "parent":
        expected = PeftModel.from_pretrained(expected, parent)
    model = load_for_training(tiny_model, parent, settings, CPU)
    trainer = dpo_trainer(model, form, PAIRS, settings, shared, [])
    batch = trainer.data_collator([trainer.train_dataset[0]])
    trainer.train()
    chosen, rejected = trainer.compute_ref_log_probs(trainer.model, batch)
    for found, view in zip((chosen, rejected), pair_views(PAIRS[0], form), strict=True):
        assert found.item() == pytest.approx(_log_probability(expected, view), abs=1e-3)


def _log_probability(model: Any, view: Any) -> float:
    ids = torch.tensor([view.ids])
    with torch.no_grad():
        scores = model.eval()(input_ids=ids).logits[0, :-1].log_softmax(-1)
    taken = scores.gather(1, ids[0, 1:, None])[:, 0]
    return float((taken * torch.tensor(view.loss_mask[1:])).sum())


def test_dpo_on_a_parent_continues_its_adapter_over_a_stop(
    trained: tuple[Path, TrainingResult], tiny_model: Path, tmp_path: Path
) -> None:
    """transformers would restore only the frozen reference and silently restart from the parent."""
    whole = TrainingRequest(
        "dpo-verdict", tiny_model, trained[0] / "adapter", PAIRS, DPO, 0, tmp_path / "w1", tmp_path / "p1"
    )
    result, metrics = run(whole)
    assert (result.completed, result.steps) == (True, 4)
    assert {"rewards/margins", "rewards/accuracies"} <= set(metrics[4])
    stopped = replace(whole, work_dir=tmp_path / "w2", destination=tmp_path / "p2", merge=False)
    assert run(stopped, Scripted(stop_at=2))[0].steps == 2
    assert run(stopped)[0].completed
    parent, one, two = weights_in(trained[0]), weights_in(whole.destination), weights_in(stopped.destination)
    assert alike(one, two)
    assert not alike(one, parent, tolerance=1e-4)
    assert not (stopped.destination / "merged").exists()


def test_out_of_memory_halves_the_batch_and_goes_on(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import SFTTrainer

    real = SFTTrainer.training_step

    def limited(self: Any, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
        if inputs["input_ids"].shape[0] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8 GiB")
        return real(self, model, inputs, *rest, **named)

    monkeypatch.setattr(SFTTrainer, "training_step", limited)
    request = request_in(tmp_path, tiny_model)
    request = replace(request, settings=request.settings.model_copy(update={"batch_size": 8, "epochs": 1.0}))
    result, _ = run(request)
    assert (result.completed, result.total_steps, result.stages[0].batch_size) == (True, 2, 2)
    monkeypatch.setattr(SFTTrainer, "training_step", raising(torch.OutOfMemoryError("no memory at all")))
    with pytest.raises(EngineError, match="out of memory with 1 example per forward pass"):
        run(replace(request, destination=tmp_path / "other"))


def test_diverged_training_is_named_and_not_saved(tiny_model: Path, tmp_path: Path) -> None:
    request = request_in(tmp_path, tiny_model)
    request = replace(
        request, settings=request.settings.model_copy(update={"learning_rate": 1.0, "lora_alpha": 10**30})
    )
    with pytest.raises(EngineError, match="diverged"):
        run(request)
    assert not request.destination.exists()
