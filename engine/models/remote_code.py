"""Which models may bring code of their own into this process: none, unless the run's settings name them.

A process serves one run, so this is said once, before anything is loaded; every load asks here by its directory. The
operator confirmed the names when the run was started. Knows directories, nothing of models.
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
    """Whether code that lies with the model in this directory may run."""
    found = Path(path).resolve()
    return any(found == directory or directory in found.parents for directory in _trusted)


def trust(directories: Iterable[Path]) -> None:
    """Let code run from these directories and below, from now on in this process."""
    _trusted.update(directory.resolve() for directory in directories)


def trusted_directories(
    connection: sqlite3.Connection, workspace: Workspace, run_id: int, settings: RunSettings
) -> list[Path]:
    """Where the models that a run trusts lie, and what was trained from them."""
    found: list[Path] = []
    if not settings.trust_remote_code:
        return found
    for policy in list_policies(connection, run_id):
        name = settings.reflector if policy.name == REFLECTOR_POLICY else settings.model
        if name in settings.trust_remote_code:
            found.append(workspace.root / policy.base_model)
            found.append(workspace.root / policy.path)
    if settings.model in settings.trust_remote_code:
        # The child that is being trained has no row yet, and neither have its checkpoints.
        number = max((one.number for one in list_iterations(connection, run_id)), default=0)
        found += [place / f"r{run_id}-p{number:02d}" for place in (workspace.policies, workspace.training)]
    return found
