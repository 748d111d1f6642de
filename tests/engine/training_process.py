"""A training in a process of its own, for tests that kill it: python -m tests.engine.training_process DIRECTORY MODEL.

One line per optimizer step goes to stdout.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engine.training.examples import Example
from engine.training.launch import TrainingRequest, train
from store.settings import TrainingSection


class Unhindered:
    """A control that never asks for anything."""

    def should_stop(self) -> bool:
        return False

    def take_save_request(self) -> bool:
        return False

    def is_paused(self) -> bool:
        return False


def request_in(root: Path, base: Path) -> TrainingRequest:
    """The same small SFT request for the same two directories, in any process."""
    examples = tuple(
        Example(
            i,
            ({"role": "user", "content": f"question {i} " + "x" * (i % 7)},),
            ({"role": "assistant", "content": f"answer {i}"},),
        )
        for i in range(16)
    )
    settings = TrainingSection(batch_size=2, epochs=1.5, checkpoint_steps=3, learning_rate=1e-2)
    return TrainingRequest(
        "sft-one-stage", base, None, examples, settings, 7, root / "work", root / "policies" / "2", {"id": 2}
    )


def main() -> None:
    root, base = Path(sys.argv[1]), Path(sys.argv[2])
    result = train(request_in(root, base), Unhindered(), lambda *_: None, lambda step, _: print(step, flush=True))
    print(json.dumps({"steps": result.steps, "completed": result.completed}), flush=True)


if __name__ == "__main__":
    main()
