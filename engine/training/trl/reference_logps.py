"""Reference log-probabilities of preference pairs, computed once: the reference policy never changes.

They are computed when a pair is first met and kept with every checkpoint, so that nothing has to be waited for before
the first step, and a training that goes on at a checkpoint sees the values it would have seen. Over one epoch that
costs what computing them along the way costs; every further epoch and measurement of the held-out loss is free of it.
Knows nothing of models or trainers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

FILE = "reference.json"
"""In a checkpoint: {digest of a pair's tokens: [log-probability of its chosen side, of its rejected side]}."""


class ReferenceMemory:
    """What the reference policy thinks of the pairs met so far."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}

    def completed(
        self, batch: dict[str, Any], compute: Callable[[], tuple[torch.Tensor, torch.Tensor]]
    ) -> dict[str, Any]:
        """The batch with `ref_chosen_logps` and `ref_rejected_logps`, each (B,).

        `compute` gives both for the whole batch; it is called when a pair of it is new. A value once kept is never
        replaced: computed beside other pairs it would differ in its last digits.
        """
        keys = _digests(batch["input_ids"], batch["attention_mask"])
        if any(key not in self._known for key in keys):
            sides = zip(*(side.tolist() for side in compute()), strict=True)
            for key, (chosen, rejected) in zip(keys, sides, strict=True):
                self._known.setdefault(key, (chosen, rejected))
        values = torch.tensor([self._known[key] for key in keys], device=batch["input_ids"].device)
        return {**batch, "ref_chosen_logps": values[:, 0], "ref_rejected_logps": values[:, 1]}

    def save(self, checkpoint: Path) -> None:
        """Write what is known beside a checkpoint."""
        (checkpoint / FILE).write_text(json.dumps(self._known), encoding="utf-8")

    def load(self, checkpoint: Path) -> None:
        """Take over what a checkpoint kept; one without the file keeps nothing."""
        path = checkpoint / FILE
        if path.is_file():
            self._known = {key: (one, other) for key, (one, other) in json.loads(path.read_text("utf-8")).items()}


def _digests(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> list[str]:
    """One digest a pair over the tokens of its two sides; both arguments (2B, L), all chosen sides first."""
    rows = [ids[mask.bool()].tolist() for ids, mask in zip(input_ids.cpu(), attention_mask.cpu(), strict=True)]
    half = len(rows) // 2
    return [
        hashlib.blake2b(json.dumps([chosen, rejected]).encode(), digest_size=16).hexdigest()
        for chosen, rejected in zip(rows[:half], rows[half:], strict=True)
    ]
