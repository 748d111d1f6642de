"""Runs a training in this process with a scripted operator, and reads what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.training.request import TrainingRequest, TrainingResult
from engine.training.train import train
from tests.engine.training_process import Unhindered

Metrics = dict[int, dict[str, float]]


class Scripted(Unhindered):
    """Stops or saves after a number of optimizer steps; pauses for some polls at one."""

    def __init__(self, stop_at: int | None = None, save_at: int | None = None, pause_polls: int = 0) -> None:
        self.step = 0
        self.steps: list[tuple[int, int]] = []
        self.stop_at, self.save_at, self.pause_polls = stop_at, save_at, pause_polls
        self.idle = 0

    def on_step(self, step: int, total: int) -> None:
        self.step = step
        self.steps.append((step, total))

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


def run(request: TrainingRequest, control: Scripted | None = None) -> tuple[TrainingResult, Metrics]:
    """Train; return the result and the metrics of each step of this run."""
    control = control or Scripted()
    metrics: Metrics = {}

    def on_metrics(step: int, values: dict[str, float]) -> None:
        metrics.setdefault(step, {}).update(values)

    return train(request, control, on_metrics, control.on_step, control.on_idle), metrics


def raising(error: BaseException) -> Callable[..., None]:
    """Return a function that raises `error` whatever its arguments."""

    def raises(*_: Any, **__: Any) -> None:
        raise error

    return raises


def weights_in(policy: Path, role: str = "") -> dict[str, Any]:
    """Return the trained tensors of a policy: its adapter's, or all of a complete model."""
    from safetensors.torch import load_file

    adapter = policy / role / "adapter" / "adapter_model.safetensors"
    return dict(load_file(adapter if adapter.exists() else policy / role / "merged" / "model.safetensors"))


def alike(one: dict[str, Any], other: dict[str, Any], tolerance: float = 1e-5) -> bool:
    """Return whether two sets of tensors are equal within a tolerance."""
    import torch

    assert one.keys() == other.keys()
    return all(torch.allclose(one[name], other[name], atol=tolerance) for name in one)


def logits(model: Any, tokenizer: Any) -> Any:
    """Return a model's logits for a fixed text."""
    import torch

    ids = tokenizer("two and two make four", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits
