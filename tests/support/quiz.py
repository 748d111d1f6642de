"""A run over a small file of sums: no model and no dataset library, so that its processes start quickly."""

from __future__ import annotations

import json
from pathlib import Path

_SETTINGS = """
name = "scripted"
model = "none"
seed = 3
{top}

[[tasks]]
kind = "math"
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


def _small_run(sections: str) -> str:
    """Return the end of the [training] table and the sections after it, for a run that is too small for the defaults.

    It trains on few examples and has too few held-out questions to tell anything, so that its child is promoted unless
    a loss is shown.
    """
    training = "" if "min_examples" in sections else "min_examples = 1\n"
    if "undecided" in sections:
        return training + sections
    if "[evaluation]" in sections:
        return training + sections.replace("[evaluation]", '[evaluation]\nundecided = "promote"')
    return f'{training}{sections}\n[evaluation]\nundecided = "promote"\n'


def quiz_settings(directory: Path, top: str = "", sections: str = "", train: int = 24, test: int = 10) -> str:
    """Return the settings of a scripted run; `top` is inserted above the tables, `sections` below.

    The scripted generator answers with a number from 0 to 4, so one in five of its answers is right.
    """
    path = directory / "sums.jsonl"
    rows = [{"problem": f"What is left of {n} in groups of five?", "solution": str(n % 5)} for n in range(train + test)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return _SETTINGS.format(top=top, path=path, sections=_small_run(sections), train=train, test=test)
