"""The stages of an iteration: their names and order, and the settings that may still change. Doesn't load pydantic."""

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
"""The stage that each section of the settings belongs to: its results depend on that section."""

OPERATIONAL_SETTINGS = ("generation", "pace", "gates", "stall_minutes")
"""Settings that affect how work is done, not its results: they may change at any time."""


def has_begun(stage: Stage) -> bool:
    """Check whether a stage has results that depend on its settings.

    The settings of a stage that failed without results can still change; a failed training starts over if they do.
    """
    undone = stage.state == "failed" and (stage.done == 0 or stage.name == "train")
    return stage.started is not None and not undone


def closing_stage(section: str, stages: Iterable[Stage], kind: IterationKind = "training") -> Stage | None:
    """Return the stage that prevents a section of the settings from changing; None while it may change.

    An evaluation has only one stage, whatever the section. The judge of Dpref ranks pairs while `curate` runs, and
    ranks them again if its section changes before training.

    Args:
        section: a key of `STAGE_OF_SECTION`.
        stages: the stages of the iteration.
        kind: the kind of the iteration.
    """
    owner: StageName = "evaluate" if kind == "evaluation" else STAGE_OF_SECTION[section]
    for stage in stages:
        if stage.name == owner and has_begun(stage):
            return stage
        if section == "judge" and stage.name == "curate" and stage.state == "running":
            return stage
    return None


def open_settings(stages: Iterable[Stage], kind: IterationKind = "training") -> tuple[str, ...]:
    """Return the settings and sections of an iteration that may still change, except for settings within them that are
    fixed in a run (`FIXED_SETTINGS`)."""
    known = tuple(stages)
    sections = (section for section in STAGE_OF_SECTION if closing_stage(section, known, kind) is None)
    return (*sections, *OPERATIONAL_SETTINGS)
