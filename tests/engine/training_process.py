"""Runs a training in its own process, for tests that kill it.

python -m tests.engine.training_process DIRECTORY MODEL KIND; prints one line per optimizer step to stdout.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

from engine.prompts.rollout import Message
from engine.training.examples import Example, Pair
from engine.training.request import TrainingRequest
from engine.training.train import train
from store.settings import SecondStageSection, TrainingSection

Kind = Literal["sft", "two-stage", "dpo", "full"]


class Unhindered:
    """A control that never requests a stop, a save or a pause."""

    def should_stop(self) -> bool:
        return False

    def take_save_request(self) -> bool:
        return False

    def is_paused(self) -> bool:
        return False


def turn(role: Literal["user", "assistant"], content: str) -> tuple[Message, ...]:
    return ({"role": role, "content": content},)


EXAMPLES = tuple(
    Example(i, turn("user", f"question {i} " + "x" * (i % 7)), turn("assistant", f"answer {i}"), i) for i in range(16)
)
CORRECTIONS = tuple(
    Example(i, turn("user", f"question {i}, think of {i}"), turn("assistant", f"corrected {i}"), i) for i in range(16)
)
PAIRS = tuple(
    Pair(i, turn("user", f"question {i}"), turn("assistant", f"good {i}"), turn("assistant", f"bad {i}, long"), i)
    for i in range(8)
)


def request_in(root: Path, base: Path, kind: Kind = "sft") -> TrainingRequest:
    """The same small request for the same two directories and kind, in any process.

    Steps: `sft` and `full` 12, `two-stage` 4 and 8, `dpo` 8; checkpoints after every third of a stage.
    """
    settings = TrainingSection(min_examples=1, batch_size=2, epochs=1.5, checkpoint_steps=3, learning_rate=1e-2)
    request = TrainingRequest(
        "sft-one-stage", base, None, EXAMPLES, settings, 7, root / "work", root / "policies" / "2", {"id": 2}
    )
    if kind == "full":
        changed = settings.model_copy(update={"method": "full", "learning_rate": 1e-3})
        return replace(request, settings=changed)
    if kind == "dpo":
        changed = settings.model_copy(update={"setting": "dpo-verdict", "epochs": 2.0, "lora_dropout": 0.0})
        return replace(request, setting="dpo-verdict", examples=PAIRS, settings=changed)
    if kind == "two-stage":
        second = SecondStageSection(learning_rate=5e-3, batch_size=2, epochs=1.0)
        changed = settings.model_copy(
            update={"setting": "sft-two-stage", "batch_size": 4, "epochs": 1.0, "second_stage": second}
        )
        return replace(request, setting="sft-two-stage", second_examples=CORRECTIONS, settings=changed)
    return request


def main() -> None:
    kind: Kind = next(kind for kind in ("sft", "two-stage", "dpo", "full") if kind == sys.argv[3])
    request = request_in(Path(sys.argv[1]), Path(sys.argv[2]), kind)
    result = train(request, Unhindered(), lambda *_: None, lambda step, _: print(step, flush=True))
    print(json.dumps({"steps": result.steps, "completed": result.completed}), flush=True)


if __name__ == "__main__":
    main()
