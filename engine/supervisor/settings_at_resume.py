"""Takes changed settings of the settings file into an iteration that failed or stopped, before it is resumed.

A stage that has results keeps the settings that they were made with; all others take the file's. Curation is repeated
with changed settings as long as training has not begun, because it generates no text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from store.control.directives import accepted_since
from store.records import Iteration, JsonObject, Stage
from store.runs import iterations
from store.runs.stages import STAGE_OF_SECTION, closing_stage, has_begun, open_settings
from store.settings import RunSettings
from store.settings.run import FIXED_SETTINGS, merged

_OF_THE_RUN = ("name", "iterations", "series", "experiment", "seed")
"""Settings that concern later iterations, or that the engine sets itself."""

_CURATED_BY = ("curation", "judge")
"""Sections that curation depends on."""


@dataclass(frozen=True, slots=True)
class _Change:
    """One changed setting: its dotted key, its old and new value, and why it isn't taken (empty if it is)."""

    key: str
    old: object
    new: object
    refused: str


def take_settings(connection: sqlite3.Connection, iteration: Iteration, wanted: RunSettings) -> str:
    """Store the settings that may still change in an iteration, and set curation to pending if it depends on them.

    A setting that an operator changed for this iteration (`set_settings`) keeps that value.

    Args:
        connection: inside a write transaction.
        iteration: one that failed or was stopped.
        wanted: the settings of the file.

    Returns:
        What was taken and what was not, as text; empty if the settings are equal.
    """
    stages = iterations.stages(connection, iteration.id)
    changes = list(_changes(connection, iteration, stages, wanted))
    taken = [change for change in changes if not change.refused]
    values: JsonObject = RunSettings.model_validate(iteration.settings).model_dump(mode="json")
    for change in taken:
        values = merged(values, _nested(change.key, change.new))
    if taken:
        stored = RunSettings.model_validate(values).model_dump(mode="json")
        iterations.update_iteration(connection, iteration.id, settings=stored)
    state = {stage.name: stage.state for stage in stages}
    if state.get("curate") == "done" and any(change.key.split(".")[0] in _CURATED_BY for change in taken):
        iterations.set_stage(connection, iteration.id, "curate", "pending")
    return "; ".join(part for part in (_taken_words(taken), _refused_words(changes)) if part)


def _changes(
    connection: sqlite3.Connection, iteration: Iteration, stages: Sequence[Stage], wanted: RunSettings
) -> Iterator[_Change]:
    old = RunSettings.model_validate(iteration.settings).model_dump(mode="json")
    by_hand = _set_by_hand(connection, iteration)
    still_open = set(open_settings(stages, iteration.kind))
    if not any(stage.name == "train" and has_begun(stage) for stage in stages) and iteration.kind == "training":
        still_open.add("curation")
    for key, before, after in _different(old, wanted.model_dump(mode="json")):
        section = key.split(".")[0]
        if section in _OF_THE_RUN:
            continue
        if key in FIXED_SETTINGS or section in FIXED_SETTINGS:
            refused = "it can't change within a run"
        elif key in by_hand:
            refused = "it was set for this iteration by an operator"
        elif section not in still_open:
            closing = closing_stage(section, stages, iteration.kind) if section in STAGE_OF_SECTION else None
            refused = f"stage {closing.name} has begun" if closing else "it can't change within an iteration"
        else:
            refused = ""
        yield _Change(key, before, after, refused)


def _different(
    old: Mapping[str, object], new: Mapping[str, object], place: str = ""
) -> Iterator[tuple[str, object, object]]:
    """Return the dotted keys whose values differ, with both values; a missing value is None."""
    for name in {**old, **new}:
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _different(before, after, f"{place}{name}.")
        elif before != after:
            yield f"{place}{name}", before, after


def _set_by_hand(connection: sqlite3.Connection, iteration: Iteration) -> set[str]:
    """Return the dotted keys that an operator set for this iteration."""
    found = set()
    for directive in accepted_since(connection, "set_settings", iteration.created):
        changes = directive.arguments.get("settings")
        if directive.arguments.get("iteration", iteration.id) == iteration.id and isinstance(changes, Mapping):
            found |= _leaves(changes)
    return found


def _leaves(values: Mapping[str, object], place: str = "") -> set[str]:
    """Return the dotted keys of nested values."""
    found: set[str] = set()
    for name, value in values.items():
        found |= _leaves(value, f"{place}{name}.") if isinstance(value, Mapping) else {f"{place}{name}"}
    return found


def _nested(key: str, value: object) -> dict[str, object]:
    first, _, rest = key.partition(".")
    return {first: _nested(rest, value) if rest else value}


def _taken_words(taken: Sequence[_Change]) -> str:
    each = ", ".join(f"{change.key} = {change.new} (was {change.old})" for change in taken)
    return f"settings taken from the file: {each}" if taken else ""


def _refused_words(changes: Sequence[_Change]) -> str:
    refused = [change for change in changes if change.refused]
    each = ", ".join(f"{change.key} ({change.refused})" for change in refused)
    return f"not taken: {each}" if refused else ""
