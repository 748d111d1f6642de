"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. An `error` would stop the run; `fix` states the remedy and is empty if none is needed."""

    level: Level
    where: str
    """The setting or the part of the machine, e.g. `tasks.logiqa` or `training.method`."""
    what: str
    fix: str = ""
