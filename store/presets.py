"""Known datasets: where each lies on the hub, and which field holds what. Data only."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "logiqa": {
        "kind": "choice",
        "domain": "logical reasoning",
        "question_field": "question",
        "answer_field": "answer",
    },
    "math": {"kind": "math", "domain": "mathematics", "question_field": "problem", "answer_field": "solution"},
}
"""Settings of each known dataset, by its name."""


def with_preset(values: Any) -> Any:
    """Settings of a task completed by the preset they name; what they say themselves counts more.

    A task that names a local `path` takes only the preset's fields, not its place on the hub.

    Raises:
        ValueError: for an unknown preset, or one of another task type.
    """
    if not isinstance(values, Mapping) or not isinstance(values.get("preset"), str):
        return values
    name = values["preset"]
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(PRESETS))}"
        raise ValueError(f"unknown preset {name!r}; {hint}")
    preset = dict(PRESETS[name])
    if values.get("kind", preset["kind"]) != preset["kind"]:
        raise ValueError(f"the preset {name!r} is of kind {preset['kind']!r}")
    if values.get("path") is not None:
        for key in ("hub", "config", "revision", "split", "test_split"):
            preset.pop(key, None)
    return {**preset, **values}
