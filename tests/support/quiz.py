"""A run over a small file of sums: no model, no dataset library and no verifier processes, so that it starts quickly.

Short answers are verified where they arrive. Runs whose verifiers have processes of their own are those of
`tests.support.engines.scripted_settings`.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.small_run import small_run

_SETTINGS = """
name = "scripted"
model = "none"
seed = 3
{top}

[[tasks]]
kind = "free_text"
name = "sums"
path = "{path}"
train = {train}
test = {test}

[generation]
generator = "scripted"
concurrency = 8

[reflection]
instructions = "random:2"
samples = 2

[training]
batch_size = 2
checkpoint_steps = 2
{sections}
"""


def quiz_settings(directory: Path, top: str = "", sections: str = "", train: int = 24, test: int = 10) -> str:
    """Return the settings of a scripted run; `top` is inserted above the tables, `sections` below.

    The scripted generator answers with a number from 0 to 4, so one in five of its answers is right.
    """
    path = directory / "sums.jsonl"
    rows = [{"question": f"What is left of {n} in groups of five?", "answer": str(n % 5)} for n in range(train + test)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return _SETTINGS.format(top=top, path=path, sections=small_run(sections), train=train, test=test)
