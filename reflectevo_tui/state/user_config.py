"""Preferences of an operator: theme, bell, saved filters. One JSON file in the user's configuration directory.

A damaged or unreadable file never prevents the application from starting: the defaults are used.
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
    """Preferences of an operator. `filters` maps a name to the parts of a trajectory filter."""

    theme: str = ""
    bell: bool = False
    filters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def changed(self, **changes: Any) -> OperatorChoices:
        """Return a copy with some preferences changed."""
        return replace(self, **changes)


def choices_path() -> Path:
    """Return the path of the preferences file."""
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
    """Read the stored preferences; the defaults when there are none or the file is unreadable."""
    try:
        stored = json.loads(choices_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return OperatorChoices()
    if not isinstance(stored, dict):
        return OperatorChoices()
    return OperatorChoices(str(stored.get("theme", "")), stored.get("bell") is True, _filters(stored.get("filters")))


def save_choices(choices: OperatorChoices) -> str:
    """Write the preferences atomically; return an error message, empty on success."""
    path = choices_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(asdict(choices), indent=1))
    except OSError as error:
        return f"{path} could not be written ({error.strerror}); the choice holds for this session"
    except StorageRefused as refusal:
        return f"{refusal}; the choice holds for this session"
    return ""
