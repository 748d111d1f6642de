"""Baseline script as most people would write it: TRL's trainer on the same rows, with TRL's defaults.

    python -m tests.bench.plain_trl sft|worked|dpo JOB

`JOB` is the JSON of `tests.bench.training`. Batch size, learning rate, LoRA, length and number format are those of the
job. Two defaults are set: TRL's gradient checkpointing follows the job, because it trades a fifth of the speed for
memory and both sides must use it or neither; and nothing is reported to a server. Uses nothing of the engine but its
rows.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from tests.bench.training_rows import pairs, rows_of


class _Clock(TrainerCallback):  # type: ignore[misc]
    """Measures the seconds from before the first step to after the last."""

    started = ended = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ended = time.perf_counter()


def main() -> None:
    """Train, and print the seconds of the steps and the peak memory of this process."""
    from tests.bench.training import peak_bytes

    kind: Any = sys.argv[1]
    job = json.loads(Path(sys.argv[2]).read_text())
    shared = {
        "output_dir": job["work_dir"],
        "per_device_train_batch_size": job["batch_size"],
        "gradient_accumulation_steps": job["accumulation"],
        "learning_rate": job["learning_rate"],
        "num_train_epochs": job["epochs"],
        "max_length": job["max_length"],
        "bf16": job["bfloat16"],
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": job["gradient_checkpointing"],
        "report_to": "none",
    }
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=job["lora_rank"],
        lora_alpha=job["lora_alpha"],
        lora_dropout=job["lora_dropout"],
        target_modules=job["lora_targets"],
    )
    clock = _Clock()
    trainer: Any
    if kind == "dpo":
        preferred = pairs(job["rows"])
        columns = {
            "prompt": [list(pair.prompt) for pair in preferred],
            "chosen": [list(pair.chosen) for pair in preferred],
            "rejected": [list(pair.rejected) for pair in preferred],
        }
        arguments, build = DPOConfig(**shared), DPOTrainer
    else:
        rows: Any = rows_of(kind, job["rows"])
        columns = {"prompt": [list(one.prompt) for one in rows], "completion": [list(one.completion) for one in rows]}
        arguments, build = SFTConfig(**shared), SFTTrainer
    trainer = build(
        model=job["model"],
        args=arguments,
        train_dataset=Dataset.from_dict(columns),
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
        peft_config=lora,
        callbacks=[clock],
    )
    trainer.train()
    print(json.dumps({"seconds": clock.ended - clock.started, "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main()
