"""Selection, display and storage of the trajectory filter. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reflectevo_tui.state.trajectory_reader import Choices
from reflectevo_tui.text.lift_words import ORDERS, lift_filter_label, order_label
from store.rollouts.trajectories import TrajectoryFilter

BY_ID = ("iteration", "policy")
"""Filters by an id of this workspace; they are not saved by name, since ids differ between workspaces."""

REVIEW_WORDS = {"none": "not reviewed", "accept": "accepted", "reject": "rejected", "flag": "flagged"}


def emptiness_words(wanted: TrajectoryFilter) -> str:
    """Return the reason why a list is empty, and the key to press."""
    if wanted.active():
        return "Nothing matches these filters.\n\nx removes the newest filter, X all of them."
    return "No trajectory yet.\n\n7 launches a run; trajectories appear here as they finish."


def with_choice(wanted: TrajectoryFilter, name: str, value: str | None) -> TrajectoryFilter:
    """Return the filter with one part set, or removed with None."""
    typed: object = int(value) if name in BY_ID and value is not None else value
    if name == "search":
        typed = value or ""
    return replace(wanted, **{name: typed})  # type: ignore[arg-type]


def chip_label(name: str, value: str, choices: Choices) -> str:
    """Return the label of a filter chip."""
    if name == "search":
        return f'"{value}"'
    if name == "review":
        return REVIEW_WORDS.get(value, value)
    if name == "lift":
        return lift_filter_label(value)
    if name == "order":
        return order_label(value)
    label = dict(choices.get(name, [])).get(value, value)
    return f"{name} {label}" if name in (*BY_ID, "flag") else label


def kept_parts(wanted: TrajectoryFilter) -> dict[str, str]:
    """Return the parts of a filter that are saved by name."""
    return {name: value for name, value in wanted.active().items() if name not in BY_ID}


def saved_filter(parts: Mapping[str, str]) -> TrajectoryFilter:
    """Restore a saved filter; parts unknown to this version are dropped."""
    known = {name for name in TrajectoryFilter.__slots__ if name not in BY_ID}
    kept = {name: value for name, value in parts.items() if name in known}
    if kept.get("order") not in ORDERS:
        del kept["order"]
    return TrajectoryFilter(**kept)  # type: ignore[arg-type]
