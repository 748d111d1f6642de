"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. An `error` would stop the run; `fix` says what to do and is empty where all is well."""

    level: Level
    where: str
    """The setting or the part of the machine, e.g. `tasks.logiqa` or `training.method`."""
    what: str
    fix: str = ""
