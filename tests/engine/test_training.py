"""Real SFT and DPO of a tiny model: the policy on disk is what was trained, and nothing ends a training early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

from safetensors.torch import load_file  # noqa: E402

from engine.errors import EngineError, TrainingRefused  # noqa: E402
from engine.training import checkpoints  # noqa: E402
from engine.training.adapters import is_stable, load_for_training, load_tokenizer, read_details  # noqa: E402
from engine.training.arguments import Batch, shared_arguments  # noqa: E402
from engine.training.examples import Example, Pair, pair_views, token_view  # noqa: E402
from engine.training.launch import TrainingRequest, TrainingResult, train  # noqa: E402
from engine.training.precision import Precision  # noqa: E402
from store.settings import TrainingSection  # noqa: E402
from tests.engine.training_process import Unhindered, request_in  # noqa: E402

CPU = Precision("cpu", "float32", False)
PAIRS = tuple(
    Pair(
        i,
        ({"role": "user", "content": f"question {i}"},),
        ({"role": "assistant", "content": f"good {i}"},),
        ({"role": "assistant", "content": f"bad {i}, long"},),
    )
    for i in range(8)
)
DPO = TrainingSection(
    setting="dpo-verdict", batch_size=2, checkpoint_steps=2, learning_rate=1e-2, warmup=0.0, lora_dropout=0.0
)


class Scripted(Unhindered):
    """Stops or saves after so many optimizer steps; pauses for some polls at one."""

    def __init__(self, stop_at: int | None = None, save_at: int | None = None, pause_polls: int = 0) -> None:
        self.step = 0
        self.stop_at, self.save_at, self.pause_polls = stop_at, save_at, pause_polls
        self.idle = 0

    def on_step(self, step: int, total: int) -> None:
        self.step = step

    def on_idle(self) -> None:
        self.idle += 1
        self.pause_polls -= 1

    def should_stop(self) -> bool:
        return self.stop_at is not None and self.step >= self.stop_at

    def take_save_request(self) -> bool:
        asked, self.save_at = self.save_at == self.step, None if self.save_at == self.step else self.save_at
        return asked

    def is_paused(self) -> bool:
        return self.step > 0 and self.pause_polls > 0


def run(
    request: TrainingRequest, control: Scripted | None = None
) -> tuple[TrainingResult, dict[int, dict[str, float]]]:
    control = control or Scripted()
    metrics: dict[int, dict[str, float]] = {}
    return train(request, control, metrics.__setitem__, control.on_step, control.on_idle), metrics


def raising(error: BaseException) -> Callable[..., None]:
    def raises(*_: Any, **__: Any) -> None:
        raise error

    return raises


def adapter_of(policy: Path) -> dict[str, Any]:
    return load_file(policy / "adapter" / "adapter_model.safetensors")


def logits(model: Any, tokenizer: Any) -> Any:
    ids = tokenizer("two and two make four", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


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
    assert read_details(policy)["training"]["steps"] == 12
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
    """Stopped in the first and again in the second epoch; order and dropout go on as if nothing had happened."""
    request = request_in(tmp_path, tiny_model)
    for stop in (3, 10):
        result, metrics = run(request, Scripted(stop_at=stop))
        assert (result.completed, result.steps) == (False, stop)
        assert not request.destination.exists()
    result, metrics = run(request)
    assert (result.completed, result.steps, min(metrics)) == (True, 12, 11)
    expected, found = adapter_of(trained[0]), adapter_of(request.destination)
    assert all(torch.allclose(expected[name], found[name], atol=1e-5) for name in expected)


def test_kill_then_resume_reaches_the_same_steps(
    trained: tuple[Path, TrainingResult], tiny_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.engine.training_process", str(tmp_path), str(tiny_model)]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "8":
                process.send_signal(signal.SIGKILL)
    request = request_in(tmp_path, tiny_model)
    assert not is_stable(request.destination)
    found = checkpoints.newest(request.work_dir)
    assert found is not None
    assert found.step in (3, 6)
    (request.work_dir / "checkpoint-9").mkdir()
    (request.work_dir / "checkpoint-9" / "trainer_state.json").write_text('{"global_step": 9')
    result, metrics = run(request)
    assert (result.steps, result.completed, min(metrics)) == (12, True, found.step + 1)
    expected, resumed = adapter_of(trained[0]), adapter_of(request.destination)
    assert all(torch.allclose(expected[name], resumed[name], atol=1e-5) for name in expected)


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
        broken.setattr("engine.training.launch.save_policy", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(request)
    result, metrics = run(request)
    assert (result.steps, result.completed, metrics) == (12, True, {})
    expected, found = adapter_of(trained[0]), adapter_of(request.destination)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


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
    from engine.training.dpo import train_dpo
    from engine.training.sft import train_sft

    request, tokenizer = request_in(tmp_path, tiny_model), load_tokenizer(tiny_model)
    shared = shared_arguments(request.settings, Batch(2, 1), CPU, 0, tmp_path, examples=8)
    model = load_for_training(tiny_model, None, request.settings, CPU)
    sft = train_sft(model, tokenizer, request.examples, request.settings, shared, [])
    for example, row in zip(request.examples, sft.train_dataset, strict=True):
        view = token_view(example, tokenizer)
        assert tuple(row["input_ids"]) == view.ids
        assert tuple(int(label != -100) for label in row["labels"]) == view.loss_mask
    dpo = train_dpo(load_for_training(tiny_model, None, DPO, CPU), tokenizer, PAIRS, DPO, shared, [])
    for pair, row in zip(PAIRS, dpo.train_dataset, strict=True):
        chosen, rejected = pair_views(pair, tokenizer)
        assert tuple(row["prompt_ids"] + row["chosen_ids"]) == chosen.ids
        assert tuple(row["prompt_ids"] + row["rejected_ids"]) == rejected.ids
        assert len(row["prompt_ids"]) == chosen.loss_mask.count(0)


def test_leaving_out_prompt_logits_changes_no_gradient(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trl.trainer.utils as fused_head

    from engine.training.completion_logits import score_completions_only
    from engine.training.sft import train_sft

    def step() -> tuple[Any, list[Any]]:
        torch.manual_seed(0)
        request = request_in(tmp_path, tiny_model)
        settings = request.settings.model_copy(update={"lora_dropout": 0.0})
        shared = shared_arguments(settings, Batch(4, 1), CPU, 0, tmp_path, examples=8)
        model = load_for_training(tiny_model, None, settings, CPU)
        trainer = train_sft(model, load_tokenizer(tiny_model), request.examples, settings, shared, [])
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

    from engine.training.dpo import train_dpo

    settings = DPO.model_copy(update={"reference": reference})
    parent, tokenizer = trained[0] / "adapter", load_tokenizer(tiny_model)
    shared = shared_arguments(settings, Batch(2, 1), CPU, 0, tmp_path, examples=8)
    expected: Any = AutoModelForCausalLM.from_pretrained(tiny_model)
    if reference == "parent":
        expected = PeftModel.from_pretrained(expected, parent)
    model = load_for_training(tiny_model, parent, settings, CPU)
    trainer = train_dpo(model, tokenizer, PAIRS, settings, shared, [])
    batch = trainer.data_collator([trainer.train_dataset[0]])
    trainer.train()
    chosen, rejected = trainer.compute_ref_log_probs(trainer.model, batch)
    for found, view in zip((chosen, rejected), pair_views(PAIRS[0], tokenizer), strict=True):
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
    """transformers would restore only the frozen reference and silently start again from the parent."""
    whole = TrainingRequest(
        "dpo-verdict", tiny_model, trained[0] / "adapter", PAIRS, DPO, 0, tmp_path / "w1", tmp_path / "p1"
    )
    result, metrics = run(whole)
    assert (result.completed, result.steps) == (True, 4)
    assert {"rewards/margins", "rewards/accuracies"} <= set(metrics[4])
    stopped = replace(whole, work_dir=tmp_path / "w2", destination=tmp_path / "p2", merge=False)
    assert run(stopped, Scripted(stop_at=2))[0].steps == 2
    assert run(stopped)[0].completed
    parent, one, two = adapter_of(trained[0]), adapter_of(whole.destination), adapter_of(stopped.destination)
    assert set(parent) == set(one) == set(two)
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
    assert not all(torch.allclose(one[name], parent[name], atol=1e-4) for name in one)
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
    assert (result.completed, result.total_steps, result.batch_size) == (True, 2, 2)
    monkeypatch.setattr(SFTTrainer, "training_step", raising(torch.OutOfMemoryError("no memory at all")))
    with pytest.raises(EngineError, match="single example"):
        run(replace(request, destination=tmp_path / "other"))


def test_diverged_training_is_named_and_not_saved(tiny_model: Path, tmp_path: Path) -> None:
    request = request_in(tmp_path, tiny_model)
    request = replace(
        request, settings=request.settings.model_copy(update={"learning_rate": 1.0, "lora_alpha": 10**30})
    )
    with pytest.raises(EngineError, match="diverged"):
        run(request)
    assert not request.destination.exists()
