"""Checks for everything that would stop a run, before anything is started or written.

`everything` takes up to minutes (it loads the tasks and looks for the models); `at_once` takes a second and runs
before each start. Knows no supervisor and no screens.
"""

from __future__ import annotations

from pathlib import Path

from engine.commands.check.findings import Finding
from engine.commands.check.machine import (
    check_disk,
    check_generator,
    check_judge,
    check_memory,
    check_samples,
    check_sandbox,
    check_training_possible,
)
from engine.commands.check.promotion import check_promotion, check_training_set
from engine.commands.check.run import check_name
from store.errors import SettingsError
from store.settings import RunSettings
from store.settings.toml_file import load_settings
from store.workspace import Workspace

__all__ = ["Finding", "at_once", "everything"]


def at_once(settings_file: Path, workspace: Workspace | None) -> list[Finding]:
    """Check what needs neither tasks nor models: settings, name of the run, generator, training."""
    settings = _settings(settings_file)
    if isinstance(settings, list):
        return settings
    return _machine(settings, settings_file, workspace)


def everything(settings_file: Path, workspace: Workspace | None) -> list[Finding]:
    """Run all checks of a run with these settings; the findings include those of level `ok`."""
    # Imported here because the libraries of task types take seconds to load, which the quick check must not.
    from engine.commands.check.models import check_models
    from engine.commands.check.tasks import check_curation, check_instructions, check_tasks

    settings = _settings(settings_file)
    if isinstance(settings, list):
        return settings
    base_directory = settings_file.resolve().parent
    models, weights = check_models(settings)
    return [
        Finding("ok", "settings", f"{settings_file} is valid"),
        *_machine(settings, settings_file, workspace),
        *models,
        *check_instructions(settings, base_directory),
        *check_curation(settings),
        *check_tasks(settings, base_directory),
        *check_promotion(settings),
        *check_training_set(settings),
        *check_judge(settings),
        *check_sandbox(settings),
        *check_memory(weights),
        *check_disk(settings, weights, workspace),
    ]


def _settings(settings_file: Path) -> RunSettings | list[Finding]:
    """Load the settings, or return a finding for each mistake in them."""
    try:
        return load_settings(settings_file)
    except SettingsError as error:
        return [Finding("error", "settings", line, f"edit {settings_file}") for line in str(error).splitlines()]


def _machine(settings: RunSettings, settings_file: Path, workspace: Workspace | None) -> list[Finding]:
    return [
        *check_name(settings, settings_file, workspace),
        *check_generator(settings),
        *check_training_possible(settings),
        *check_samples(settings),
    ]
