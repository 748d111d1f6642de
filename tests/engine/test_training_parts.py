"""Tests of the parts around a training: arguments, number formats, adapters and policy directories, without
training.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

from engine.errors import EngineError, TrainingRefused  # noqa: E402
from engine.models.policy_directory import Weights, is_stable, read_details, save_policy  # noqa: E402
from engine.models.precision import Precision, cpu_computes_bfloat16, use_one_gpu  # noqa: E402
from engine.training.trl.arguments import Batch, shared_arguments  # noqa: E402
from engine.training.trl.loading import load_for_training  # noqa: E402
from store.estimates.training_steps import optimizer_steps  # noqa: E402
from store.settings import TrainingSection  # noqa: E402

CPU = Precision("cpu", "float32", False)


def test_unknown_lora_targets_name_what_there_is(tiny_model: Path) -> None:
    with pytest.raises(TrainingRefused, match=r"q_proj"):
        load_for_training(tiny_model, None, TrainingSection(lora_targets=["c_attn"]), CPU)
    with pytest.raises(TrainingRefused, match="lm_head"):
        load_for_training(tiny_model, None, TrainingSection(lora_targets=["q_proj", "lm_head"]), CPU)


def test_a_policy_is_never_overwritten_but_leftovers_are(tiny_model: Path, tmp_path: Path) -> None:
    trained = tmp_path / "trained" / "checkpoint-1"
    load_for_training(tiny_model, None, TrainingSection(), CPU).save_pretrained(trained)
    weights = Weights(tiny_model, trained)
    tmp_path = tmp_path / "policies"
    policy = tmp_path / "9"
    (policy / "adapter").mkdir(parents=True)
    (policy / "half").write_text("torn")
    (tmp_path / ".9.tmp-1").mkdir()
    assert not is_stable(policy)
    with pytest.raises(EngineError, match="not a whole policy"):
        read_details(policy)
    save_policy(weights, policy, {"id": 9}, merge=False)
    assert is_stable(policy)
    assert not (policy / "half").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["9"]
    with pytest.raises(EngineError, match="never overwritten"):
        save_policy(weights, policy, {"id": 9})
    assert read_details(policy) == {"format": 1, "id": 9}


def test_bfloat16_only_where_the_cpu_computes_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nflags\t\t: fma avx2 avx512f\n")
    assert not cpu_computes_bfloat16(info)
    info.write_text("processor\t: 0\nflags\t\t: fma avx2 avx512_bf16\n")
    assert cpu_computes_bfloat16(info)
    assert not cpu_computes_bfloat16(tmp_path / "missing")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    use_one_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


def test_a_training_of_one_step_has_a_learning_rate(tmp_path: Path) -> None:
    """A share of warm-up that rounds up to the only step would train with rate 0."""
    settings = TrainingSection(warmup=0.1, batch_size=8)
    assert shared_arguments(settings, Batch(8, 1), CPU, 0, tmp_path, examples=8)["warmup_steps"] == 0
    assert shared_arguments(settings, Batch(8, 1), CPU, 0, tmp_path, examples=160)["warmup_steps"] == 2


@pytest.mark.parametrize(
    ("examples", "batch", "accumulation", "epochs"),
    [(100, 16, 4, 5.0), (9, 2, 4, 3.0), (10, 4, 1, 1.5), (3, 64, 1, 2.0), (17, 3, 2, 0.3), (20, 8, 1, 1.0)],
)
def test_steps_are_counted_as_the_trainer_counts_them(
    tmp_path: Path, examples: int, batch: int, accumulation: int, epochs: float
) -> None:
    """The estimate, the gate, warm-up and progress depend on this number."""
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        num_train_epochs=epochs,
        use_cpu=True,
        report_to="none",
    )
    trainer = Trainer(torch.nn.Linear(1, 1), arguments, train_dataset=[{"x": 0}] * examples)
    *_, steps = trainer.set_initial_training_values(arguments, trainer.get_train_dataloader())
    assert optimizer_steps(examples, batch * accumulation, epochs) == steps
