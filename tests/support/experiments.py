"""A small experiment on scripted processes: two tasks of sums, two series and a baseline, one of them repeated."""

from __future__ import annotations

import json
from pathlib import Path

_SETTINGS = """
name = "proof"
model = "none"
seed = 3
question_seed = 5

[[tasks]]
kind = "free_text"
name = "fives"
path = "{fives}"
train = 12
dev = 4
test = 8

[[tasks]]
kind = "free_text"
name = "fours"
path = "{fours}"
train = 12
dev = 4
test = 8

[generation]
generator = "scripted"
concurrency = 8

[reflection]
instructions = "random:2"
samples = 2

[correction]
temperature = 0.7

[training]
setting = "sft-two-stage"
min_examples = 1
batch_size = 4
checkpoint_steps = 2

[evaluation]
split = "dev"
promote = "{promote}"
undecided = "promote"

[experiment]
iterations = {iterations}
repeat_seeds = {seeds}
recipes_tried = 4
remarks = ["Scripted: *nothing* here comes from a model."]

[experiment.measure]
retry_baseline = false

[experiment.measure_ends]
protocol = "both"
retry_baseline = true

[experiment.measure_base]
protocol = "oracle"
retry_baseline = true
retry_samples = 2
vote_samples = 3

[[experiment.series]]
name = "qa"
baseline = true
iterations = 1
changes = {{ training = {{ setting = "sft-qa" }} }}

[[experiment.series]]
name = "two-stage"

[[experiment.series]]
name = "dpo"
iterations = 1
changes = {{ training = {{ setting = "dpo-verdict", min_examples = {min_pairs} }} }}
"""


def experiment_settings(
    directory: Path, *, iterations: int = 2, seeds: str = "[4]", promote: str = "not-worse", min_pairs: int = 1
) -> str:
    """Return the settings of the experiment, and write its questions into a directory."""
    paths = {}
    for name, divisor in (("fives", 5), ("fours", 4)):
        paths[name] = directory / f"{name}.jsonl"
        rows = [
            {"question": f"What is left of {n} in groups of {divisor}?", "answer": str(n % divisor)} for n in range(30)
        ]
        paths[name].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return _SETTINGS.format(**paths, iterations=iterations, seeds=seeds, promote=promote, min_pairs=min_pairs)
