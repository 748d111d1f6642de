"""What an operator chose for themselves: theme, bell, saved filters. One JSON file in the user's configuration.

A damaged or unreadable file never keeps the application from starting: it counts as no choice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import platformdirs

from store.errors import StorageRefused
from store.workspace import write_file

FILE_NAME = "choices.json"


@dataclass(frozen=True, slots=True)
class OperatorChoices:
    """The choices. `filters` maps a name to the parts of a trajectory filter."""

    theme: str = ""
    bell: bool = False
    filters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def changed(self, **changes: Any) -> OperatorChoices:
        """The choices with some of them made anew."""
        return replace(self, **changes)


def choices_path() -> Path:
    """Where the file lies."""
    return Path(platformdirs.user_config_dir("reflectevo")) / FILE_NAME


def _filters(value: object) -> dict[str, dict[str, str]]:
    if not isinstance(value, dict):
        return {}
    return {
        str(name): {str(key): str(part) for key, part in parts.items()}
        for name, parts in value.items()
        if isinstance(parts, dict)
    }


def load_choices() -> OperatorChoices:
    """The stored choices; the defaults where there are none, or none that can be read."""
    try:
        stored = json.loads(choices_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return OperatorChoices()
    if not isinstance(stored, dict):
        return OperatorChoices()
    return OperatorChoices(str(stored.get("theme", "")), stored.get("bell") is True, _filters(stored.get("filters")))


def save_choices(choices: OperatorChoices) -> str:
    """Store the choices as a whole; returns why it could not be done, or nothing."""
    path = choices_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(asdict(choices), indent=1))
    except OSError as error:
        return f"{path} could not be written ({error.strerror}); the choice holds for this session"
    except StorageRefused as refusal:
        return f"{refusal}; the choice holds for this session"
    return ""
