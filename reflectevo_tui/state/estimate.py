"""Computes the estimate of a recipe, a settings file or edited settings, in a workspace that need not exist yet.

No widgets; called by the command and from thread workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reflectevo_tui.engine_client.process import ask_engine
from store.database.connection import reading
from store.estimates.estimate import Estimate
from store.estimates.from_workspace import estimate_here
from store.estimates.inputs import FILE_NAME, Figure, from_file
from store.settings import RunSettings
from store.settings.toml_file import load_settings, parse_settings
from store.workspace import Workspace, write_file


def settings_of(recipe: str | None, workspace: Workspace) -> RunSettings:
    """Read the settings of a settings file, of a shipped recipe, or of the workspace.

    Raises:
        SettingsError: when they are invalid.
        EngineUnavailable: when there is no recipe of that name.
    """
    if recipe is None:
        return load_settings(workspace.require().settings_file)
    file = Path(recipe).expanduser()
    if file.suffix == ".toml" or file.is_file():
        return load_settings(file)
    return parse_settings(ask_engine("recipe", "--name", recipe)["text"])


def estimate_in(workspace: Workspace, settings: RunSettings, given: Mapping[str, Figure] | None = None) -> Estimate:
    """Estimate the resources of a run with these settings in a workspace.

    Raises:
        EstimateRefused: when its file of figures is invalid.
        StoreError: when its database can't be read.
    """
    if not workspace.database.exists():
        return estimate_here(settings, workspace, None, given)
    with reading(workspace.database) as connection:
        return estimate_here(settings, workspace, connection, given)


def keep(workspace: Workspace, given: Mapping[str, Figure]) -> None:
    """Add figures to the workspace's file; the Launch screen and gates use them from then on.

    Raises:
        EstimateRefused: when the file is invalid.
        StorageRefused: when the file can't be written.
        WorkspaceNotFound: when there is no workspace.
    """
    path = workspace.require().root / FILE_NAME
    values = {name: figure.value for name, figure in {**from_file(path), **given}.items()}
    text = "".join(f"{name} = {value!r}\n" for name, value in sorted(values.items()))
    write_file(path, f"# Values for `reflectevo estimate`, the Launch screen and the gates.\n{text}")
