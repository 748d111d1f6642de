"""The stages of an iteration: their names and order, and which settings each still takes. Loads no settings model."""

from __future__ import annotations

from typing import Literal

from store.records import Stage

StageName = Literal["attempt", "reflect", "correct", "curate", "train", "evaluate"]

GateName = Literal["attempt", "reflect", "correct", "curate", "train", "evaluate", "promote"]

STAGES: tuple[StageName, ...] = ("attempt", "reflect", "correct", "curate", "train", "evaluate")

ROLLOUT_STAGES: tuple[StageName, ...] = ("attempt", "reflect", "correct")

STAGE_OF_SECTION = {
    "attempt": "attempt",
    "reuse": "attempt",
    "reflection": "reflect",
    "correction": "correct",
    "curation": "curate",
    "judge": "train",
    "training": "train",
    "evaluation": "evaluate",
}


def has_begun(stage: Stage) -> bool:
    """True when a stage made something under its settings. One that failed before it did can be set anew, and a
    training that failed starts over when its settings differ."""
    undone = stage.state == "failed" and (stage.done == 0 or stage.name == "train")
    return stage.started is not None and not undone
