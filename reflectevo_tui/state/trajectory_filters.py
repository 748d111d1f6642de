"""The trajectory filter as operators choose, read and keep it. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reflectevo_tui.state.trajectory_reader import Choices
from store.rollouts.trajectories import TrajectoryFilter

BY_ID = ("iteration", "policy")
"""Filters by an id of this workspace; it means something else elsewhere, so it isn't kept under a name."""

REVIEW_WORDS = {"none": "not reviewed", "accept": "accepted", "reject": "rejected", "flag": "flagged"}


def emptiness_words(wanted: TrajectoryFilter) -> str:
    """Why a list is empty, and what to press."""
    if wanted.active():
        return "Nothing matches these filters.\n\nx removes the newest filter, X all of them."
    return "No trajectory yet.\n\n7 launches a run; trajectories appear here as they finish."


def with_choice(wanted: TrajectoryFilter, name: str, value: str | None) -> TrajectoryFilter:
    """The filter with one part chosen, or lifted with None."""
    typed: object = int(value) if name in BY_ID and value is not None else value
    if name == "search":
        typed = value or ""
    return replace(wanted, **{name: typed})  # type: ignore[arg-type]


def chip_label(name: str, value: str, choices: Choices) -> str:
    """What the chip of a part says."""
    if name == "search":
        return f'"{value}"'
    if name == "review":
        return REVIEW_WORDS.get(value, value)
    label = dict(choices.get(name, [])).get(value, value)
    return f"{name} {label}" if name in (*BY_ID, "flag") else label


def kept_parts(wanted: TrajectoryFilter) -> dict[str, str]:
    """What of a filter is kept under a name."""
    return {name: value for name, value in wanted.active().items() if name not in BY_ID}


def saved_filter(parts: Mapping[str, str]) -> TrajectoryFilter:
    """The filter that was kept; parts that this version doesn't know are left out."""
    known = {name for name in TrajectoryFilter.__slots__ if name not in BY_ID}
    return TrajectoryFilter(**{name: value for name, value in parts.items() if name in known})  # type: ignore[arg-type]
