"""Reference log-probabilities of preference pairs, computed once: the reference policy never changes.

They are computed when a pair first occurs and saved with every checkpoint, so that the first step need not wait for
them, and a training resumed from a checkpoint uses the same values as an uninterrupted one. Over one epoch this costs
as much as computing them in each step; further epochs and measurements of the held-out loss do not compute them again.
Independent of models and trainers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

FILE = "reference.json"
"""File in a checkpoint: {digest of a pair's tokens: [log-probability of its chosen side, of its rejected side]}."""


class ReferenceMemory:
    """Cache of the reference log-probabilities of the pairs seen so far."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}

    def completed(
        self, batch: dict[str, Any], compute: Callable[[], tuple[torch.Tensor, torch.Tensor]]
    ) -> dict[str, Any]:
        """Return the batch with `ref_chosen_logps` and `ref_rejected_logps`, each (B,).

        `compute` returns both for the whole batch; it is called when one of its pairs is new. A cached value is never
        replaced: computed in a batch with other pairs, it would differ in its last digits.
        """
        keys = _digests(batch["input_ids"], batch["attention_mask"])
        if any(key not in self._known for key in keys):
            sides = zip(*(side.tolist() for side in compute()), strict=True)
            for key, (chosen, rejected) in zip(keys, sides, strict=True):
                self._known.setdefault(key, (chosen, rejected))
        values = torch.tensor([self._known[key] for key in keys], device=batch["input_ids"].device)
        return {**batch, "ref_chosen_logps": values[:, 0], "ref_rejected_logps": values[:, 1]}

    def save(self, checkpoint: Path) -> None:
        """Write the cache into a checkpoint directory."""
        (checkpoint / FILE).write_text(json.dumps(self._known), encoding="utf-8")

    def load(self, checkpoint: Path) -> None:
        """Load the cache of a checkpoint; without the file, the cache stays unchanged."""
        path = checkpoint / FILE
        if path.is_file():
            self._known = {key: (one, other) for key, (one, other) in json.loads(path.read_text("utf-8")).items()}


def _digests(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> list[str]:
    """Return one digest per pair over the tokens of its two sides; both arguments (2B, L), all chosen sides first."""
    rows = [ids[mask.bool()].tolist() for ids, mask in zip(input_ids.cpu(), attention_mask.cpu(), strict=True)]
    half = len(rows) // 2
    return [
        hashlib.blake2b(json.dumps([chosen, rejected]).encode(), digest_size=16).hexdigest()
        for chosen, rejected in zip(rows[:half], rows[half:], strict=True)
    ]
