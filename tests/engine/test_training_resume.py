"""Tests of SIGKILL in the middle of a real training: resuming from the checkpoint gives the result of an uninterrupted
one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

from engine.models.policy_directory import is_stable
from engine.training import checkpoints
from tests.engine.training_process import Kind, request_in
from tests.engine.training_runs import Scripted, alike, run, weights_in

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("kind", "kill_at", "where", "kept", "total"),
    [
        ("full", 5, "work", (3,), 12),
        ("dpo", 7, "work", (3, 6), 8),
        ("two-stage", 9, "work/stage2", (3,), 12),
    ],
)
def test_kill_then_resume_reaches_the_same_steps(
    kind: Kind, kill_at: int, where: str, kept: tuple[int, ...], total: int, tiny_model: Path, tmp_path: Path
) -> None:
    """The same weights as without the kill, no step repeated after the checkpoint, none left out."""
    whole = request_in(tmp_path / "whole", tiny_model, kind)
    result, metrics = run(whole)
    assert (result.steps, sorted(metrics)) == (total, list(range(1, total + 1)))
    _run_and_kill(tmp_path / "killed", tiny_model, kind, kill_at)
    request = request_in(tmp_path / "killed", tiny_model, kind)
    assert not is_stable(request.destination)
    found = checkpoints.newest(tmp_path / "killed" / where)
    assert found is not None
    assert found.step in kept
    torn = tmp_path / "killed" / where / "checkpoint-99"
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"global_step": 99')
    control = Scripted()
    result, metrics = run(request, control)
    before = total - found.total_steps
    assert (result.completed, result.steps, result.total_steps) == (True, total, total)
    assert sorted(metrics) == list(range(before + found.step + 1, total + 1))
    assert control.steps[0] == (before + found.step, total)
    assert alike(weights_in(whole.destination), weights_in(request.destination))
    assert not request.work_dir.exists()


def _run_and_kill(root: Path, model: Path, kind: Kind, at: int) -> None:
    """Train in another process and kill it once it reports `at` finished steps."""
    command = [sys.executable, "-m", "tests.engine.training_process", str(root), str(model), kind]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == str(at):
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
