"""Trust in remote code: custom model code runs in this process only for models that the run's settings name.

A process serves one run, so trust is set once, before a model is loaded; every load checks its directory here. The
operator confirmed the names when the run was started. Works on directories only, independent of models.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from store.runs.iterations import list_iterations
from store.runs.policies import REFLECTOR_POLICY, list_policies
from store.settings import RunSettings
from store.workspace import Workspace

_trusted: set[Path] = set()


def trusts(path: Path | str) -> bool:
    """Check whether the code of the model in this directory may run."""
    found = Path(path).resolve()
    return any(found == directory or directory in found.parents for directory in _trusted)


def trust(directories: Iterable[Path]) -> None:
    """Trust the code in these directories and below, for the lifetime of this process."""
    _trusted.update(directory.resolve() for directory in directories)


def trusted_directories(
    connection: sqlite3.Connection, workspace: Workspace, run_id: int, settings: RunSettings
) -> list[Path]:
    """Return the directories of the models that a run trusts, and of the policies trained from them."""
    found: list[Path] = []
    if not settings.trust_remote_code:
        return found
    for policy in list_policies(connection, run_id):
        reflects = policy.name.startswith(REFLECTOR_POLICY)
        name = policy.details.get("model", settings.reflector) if reflects else settings.model
        if name in settings.trust_remote_code:
            found.append(workspace.root / policy.base_model)
            found.append(workspace.root / policy.path)
    if settings.model in settings.trust_remote_code:
        # The policy being trained has no row yet, nor have its checkpoints.
        number = max((one.number for one in list_iterations(connection, run_id)), default=0)
        found += [place / f"r{run_id}-p{number:02d}" for place in (workspace.policies, workspace.training)]
    return found
