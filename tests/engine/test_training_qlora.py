"""Tests of 4-bit training, where bitsandbytes is installed: its code also runs on a CPU, but too slowly to be offered
there.

Skipped where it is missing, as in the CPU set; test_check.py covers the refusal on such a machine.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")
pytest.importorskip("bitsandbytes", reason="bitsandbytes is part of the gpu set only")

from engine.models.loading import load_model, load_tokenizer  # noqa: E402
from engine.training.trl.loading import load_for_training  # noqa: E402
from tests.engine.training_process import Kind, request_in  # noqa: E402
from tests.engine.training_runs import Scripted, alike, logits, run, weights_in  # noqa: E402


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_a_4_bit_training_resumes_and_is_merged_into_the_unquantised_base(
    kind: Kind, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    monkeypatch.setattr("engine.training.validation._has_cuda", lambda: True)
    request = request_in(tmp_path / "a", tiny_model, kind)
    request = replace(
        request, settings=request.settings.model_copy(update={"method": "qlora", "lora_dropout": 0.0}), merge=True
    )
    layer = load_for_training(tiny_model, None, request.settings).base_model.model.model.layers[0].mlp.down_proj
    state = layer.weight.quant_state
    assert (state.quant_type, state.nested) == ("nf4", True)
    _, metrics = run(request)
    assert metrics[max(metrics)]["loss"] < metrics[1]["loss"]
    stopped = replace(request, work_dir=tmp_path / "w", destination=tmp_path / "p")
    run(stopped, Scripted(stop_at=4))
    assert min(run(stopped)[1]) == 5
    found = weights_in(request.destination)
    assert {part.dtype for part in found.values()} == {torch.float32}
    assert alike(found, weights_in(stopped.destination))
    tokenizer = load_tokenizer(tiny_model)
    adapted = PeftModel.from_pretrained(load_model(tiny_model, "float32"), request.destination / "adapter")
    merged = load_model(request.destination / "merged", "float32")
    assert torch.allclose(logits(merged, tokenizer), logits(adapted, tokenizer), atol=1e-5)
