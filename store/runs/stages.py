"""The stages of an iteration: their names and order, and which settings each still takes. Loads no settings model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

from store.records import GateName, IterationKind, Stage, StageName

STAGES: tuple[StageName, ...] = get_args(StageName)

GATES: tuple[GateName, ...] = get_args(GateName)

ROLLOUT_STAGES: tuple[StageName, ...] = ("attempt", "reflect", "correct")

STAGE_OF_SECTION: Mapping[str, StageName] = {
    "attempt": "attempt",
    "reuse": "attempt",
    "reflection": "reflect",
    "correction": "correct",
    "curation": "curate",
    "judge": "train",
    "training": "train",
    "evaluation": "evaluate",
}
"""The stage that each section of the settings belongs to: what it makes is made under them."""

OPERATIONAL_SETTINGS = ("generation", "pace", "gates", "stall_minutes")
"""Settings that say how the work is done, not what is made: they may change at any time."""


def has_begun(stage: Stage) -> bool:
    """True when a stage made something under its settings. One that failed before it did can be set anew, and a
    training that failed starts over when its settings differ."""
    undone = stage.state == "failed" and (stage.done == 0 or stage.name == "train")
    return stage.started is not None and not undone


def closing_stage(section: str, stages: Iterable[Stage], kind: IterationKind = "training") -> Stage | None:
    """The stage because of which a section of the settings can't change any more; None while it can.

    An evaluation has but one stage, whatever the section. The judge of Dpref ranks pairs while `curate` runs and is
    asked again when it is set anew before training.

    Args:
        section: a key of `STAGE_OF_SECTION`.
        stages: the stages of the iteration.
        kind: the kind of the iteration.
    """
    owner = "evaluate" if kind == "evaluation" else STAGE_OF_SECTION[section]
    for stage in stages:
        if stage.name == owner and has_begun(stage):
            return stage
        if section == "judge" and stage.name == "curate" and stage.state == "running":
            return stage
    return None


def open_settings(stages: Iterable[Stage], kind: IterationKind = "training") -> tuple[str, ...]:
    """The settings and sections of an iteration that may still change. What a run fixes (`FIXED_SETTINGS`) stays fixed
    within them."""
    known = tuple(stages)
    sections = (section for section in STAGE_OF_SECTION if closing_stage(section, known, kind) is None)
    return (*sections, *OPERATIONAL_SETTINGS)
