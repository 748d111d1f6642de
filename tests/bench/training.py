"""Training tokens a second and peak memory against a plain TRL script on the same rows: SFT, with and without worked
examples in front of the prompts, and DPO.

Each side runs in a process of its own, so that its memory is its own, and the two take turns. Tokens are those of the
rows (of a pair: both sides, each with its prompt), never padding, and the same number for both. The time is that of the
optimizer steps; importing, loading the model and saving the policy are left out on both sides.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.models.resolve import model_cache, resolve_model
from tests.bench.measure import Row
from tests.bench.training_rows import Kind, rows_of

ROOT = Path(__file__).parents[2]
TURNS = 2
"""Rounds in which ours and the script take turns; the worse round is reported: the lower ratio of speeds, the higher
one of memories.
"""
NAMES: dict[Kind, str] = {"sft": "SFT", "worked": "SFT behind worked examples", "dpo": "DPO"}
ROWS: dict[Kind, int] = {"sft": 32, "worked": 16, "dpo": 16}
TARGETS: dict[Kind, float] = {"sft": 1.3, "worked": 1.3, "dpo": 1.2}


@dataclass(frozen=True)
class _Turn:
    """Tokens a second and peak bytes of both sides, measured one after the other."""

    ours: float
    script: float
    our_peak: int
    script_peak: int


def measure() -> list[Row]:
    """Return, for each kind of training, the ratio of the speeds and that of the peak memories."""
    model = resolve_model("smollm2-135m-instruct", model_cache()).path
    kinds: tuple[Kind, ...] = ("sft", "worked", "dpo")
    return [row for kind in kinds for row in _rows(kind, model)]


def peak_bytes() -> int:
    """Return the peak memory of this process in bytes. Not `ru_maxrss`, which includes the peak of the parent."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status tells no VmHWM; peak memory can be measured on Linux only")


def _rows(kind: Kind, model: Path) -> list[Row]:
    job = _job(kind, model)
    tokens = _tokens(kind, model) * job["epochs"]
    turns = [_turn(kind, job, tokens) for _ in range(TURNS)]
    slow = min(turns, key=lambda turn: turn.ours / turn.script)
    large = max(turns, key=lambda turn: turn.our_peak / turn.script_peak)
    speed = Row(
        f"training, {NAMES[kind]} / plain TRL script",
        f"{slow.ours:.0f} tok/s",
        f"{slow.script:.0f} tok/s",
        slow.ours / slow.script,
        TARGETS[kind],
        True,
    )
    memory = Row(
        f"peak memory of training, {NAMES[kind]} / plain TRL script",
        f"{large.our_peak / 2**20:.0f} MiB",
        f"{large.script_peak / 2**20:.0f} MiB",
        large.our_peak / large.script_peak,
        1.0,
        False,
    )
    return [speed, memory]


def _job(kind: Kind, model: Path) -> dict[str, Any]:
    """Return the job of both sides. The LoRA is ReflectEvo's; eight examples an optimizer step."""
    from engine.models.precision import choose_precision

    return {
        "model": str(model),
        "rows": ROWS[kind],
        "setting": "dpo-verdict" if kind == "dpo" else "sft-one-stage",
        "batch_size": 4 if kind == "dpo" else 8,
        "accumulation": 2 if kind == "dpo" else 1,
        "learning_rate": 1e-5 if kind == "dpo" else 1e-4,
        "epochs": 1,
        "max_length": 1024,
        "lora_rank": 8,
        "lora_alpha": 32,
        "lora_dropout": 0.1,
        "lora_targets": ["q_proj", "k_proj", "v_proj"],
        "gradient_checkpointing": os.environ.get("REFLECTEVO_BENCH_CHECKPOINTING", "") == "1",
        "bfloat16": choose_precision().autocast,
    }


def _tokens(kind: Kind, model: Path) -> int:
    from engine.models.loading import load_tokenizer
    from engine.prompts.chat_format import ChatFormat
    from engine.training.examples import fit

    form = ChatFormat(load_tokenizer(model))
    fitted = fit(rows_of(kind, ROWS[kind]), form, 1024)
    assert not fitted.dropped
    return fitted.tokens


def _turn(kind: Kind, job: dict[str, Any], tokens: float) -> _Turn:
    ours = _run("tests.bench.training_child", kind, job)
    script = _run("tests.bench.plain_trl", kind, job)
    return _Turn(
        tokens / ours["seconds"], tokens / script["seconds"], int(ours["peak_bytes"]), int(script["peak_bytes"])
    )


def _run(module: str, kind: Kind, job: dict[str, Any]) -> dict[str, Any]:
    """Run one side in a fresh process. The last line of its output is the measurement."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "job.json"
        path.write_text(json.dumps({**job, "work_dir": str(Path(directory) / "work")}))
        command = [sys.executable, "-m", module, kind, str(path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} {kind} failed:\n{done.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured
