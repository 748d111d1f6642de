"""Checkpoints in the work directory of one training: which are complete, which is newest, which training wrote them.

A checkpoint counts only once it is flushed to disk and carries a marker; an incomplete one is removed. Independent of
models and trainers but for the file names of transformers.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.models.durable_directory import mark, sync_tree
from engine.training.held_out import evaluations_since_best

COMPLETE = "COMPLETE"
_OWNER = "training.json"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint."""

    path: Path
    step: int
    """Optimizer steps done."""
    total_steps: int
    batch_size: int
    """Examples per forward pass when it was written (smaller than the setting if memory ran out)."""
    last_metrics: dict[str, float]
    """Metrics of the newest logged step."""
    losses: tuple[tuple[int, float], ...] = ()
    """Step and held-out loss of every measurement so far."""

    def out_of_patience(self, patience: int | None) -> bool:
        """Check whether early stopping ends the training here; depends on the losses alone, so resuming is safe."""
        return patience is not None and evaluations_since_best([loss for _, loss in self.losses]) >= patience

    def finished(self, patience: int | None) -> bool:
        """Check whether no optimizer step remains."""
        return self.step >= self.total_steps or self.out_of_patience(patience)


def claim(work_dir: Path, fingerprint: str) -> None:
    """Assign `work_dir` to the training with this fingerprint.

    Checkpoints of another training (other examples, settings or parent) and incomplete ones are removed.
    """
    owner = work_dir / _OWNER
    work_dir.mkdir(parents=True, exist_ok=True)
    same = owner.is_file() and owner.read_text(encoding="utf-8") == fingerprint
    for path in _directories(work_dir):
        if not same or not (path / COMPLETE).is_file():
            shutil.rmtree(path)
    if not same:
        owner.write_text(fingerprint, encoding="utf-8")
        sync_tree(work_dir)


def seal(path: Path) -> None:
    """Flush a checkpoint that was just written and mark it as complete.

    DPO against a parent keeps a frozen copy of the parent's adapter ("ref") beside the trained one. It is excluded
    from the checkpoint: it never changes, and transformers restores only the adapters in sub-directories where there
    are any, so that the training would silently restart from the parent.
    """
    shutil.rmtree(path / "ref", ignore_errors=True)
    sync_tree(path)
    mark(path, COMPLETE)


def newest(work_dir: Path) -> Checkpoint | None:
    """Return the complete checkpoint with the most steps, or None."""
    whole = [path for path in _directories(work_dir) if (path / COMPLETE).is_file()]
    if not whole:
        return None
    path = max(whole, key=_step)
    state: dict[str, Any] = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
    logged = [entry for entry in state["log_history"] if "loss" in entry]
    metrics = {name: float(value) for name, value in logged[-1].items() if name != "step"} if logged else {}
    losses = tuple(
        (int(entry["step"]), float(entry["eval_loss"])) for entry in state["log_history"] if "eval_loss" in entry
    )
    return Checkpoint(path, state["global_step"], state["max_steps"], state["train_batch_size"], metrics, losses)


def best(checkpoint: Checkpoint) -> tuple[Path, int, float] | None:
    """Return path, step and loss of the checkpoint with the lowest held-out loss; None when none was measured.

    A checkpoint is written at each new lowest loss and kept. If it was deleted from outside, the best of the remaining
    ones is returned.
    """
    for step, loss in sorted(checkpoint.losses, key=lambda measured: measured[1]):
        path = path_of(checkpoint.path.parent, step)
        if (path / COMPLETE).is_file():
            return path, step, loss
    return None


def path_of(work_dir: Path, step: int) -> Path:
    """Return the path of the checkpoint that the trainer writes after `step` optimizer steps."""
    return work_dir / f"checkpoint-{step}"


def _directories(work_dir: Path) -> list[Path]:
    return [path for path in work_dir.glob("checkpoint-*") if path.is_dir() and path.name.split("-")[-1].isdigit()]


def _step(path: Path) -> int:
    return int(path.name.split("-")[-1])
