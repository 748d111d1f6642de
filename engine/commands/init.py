"""Creates a workspace: directories, database, an initial settings file, and the engine's capabilities."""

from __future__ import annotations

from pathlib import Path

from engine.errors import WorkspaceHeld
from engine.supervisor.capabilities import publish
from engine.supervisor.lock import WorkspaceLock
from store.database.connection import reading, writing
from store.database.migrations import is_current, migrate
from store.errors import SettingsError
from store.settings.recipes import recipe_text
from store.settings.toml_file import parse_settings
from store.workspace import Workspace, write_file


def init_workspace(
    workspace: Workspace, recipe: str, settings_file: Path | None, *, replace: bool
) -> dict[str, object]:
    """Create a workspace, or complete an existing one; nothing that exists is overwritten unless `replace`.

    Args:
        workspace: the workspace to create.
        recipe: name of a shipped recipe, used when no settings file is given.
        settings_file: a TOML file to copy into the workspace; its relative paths still refer to its own directory.
        replace: overwrite the settings file.

    Returns:
        What was done: `workspace`, `settings`, `created` and `wrote`.

    Raises:
        WorkspaceHeld: an engine is running there and something would have to be created or replaced.
        SettingsError: the recipe is unknown, or the settings file can't be read or is invalid.
    """
    text = recipe_text(recipe)
    base = None
    if settings_file is not None:
        try:
            text = settings_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"can't read {settings_file}: {error}") from error
        base = settings_file.resolve().parent
    parse_settings(text, str(settings_file or f"recipe {recipe}"))
    existed = workspace.database.exists()
    workspace.create()
    lock = WorkspaceLock(workspace.lock_file)
    try:
        lock.acquire()
    except WorkspaceHeld:
        # With a running engine the workspace is complete already, and nothing may be replaced.
        if replace or not _is_whole(workspace):
            raise
    else:
        try:
            with writing(workspace.database, durable=True) as connection:
                migrate(connection)
                publish(connection)
        finally:
            lock.release()
    wrote = replace or not workspace.settings_file.exists()
    if wrote:
        if base is not None:
            text = _with_absolute_paths(text, base)
        write_file(workspace.settings_file, text)
    return {
        "workspace": str(workspace.root),
        "settings": str(workspace.settings_file),
        "created": not existed,
        "wrote": wrote,
    }


def _is_whole(workspace: Workspace) -> bool:
    """Check whether the workspace has a database with the current schema."""
    if not workspace.database.exists():
        return False
    with reading(workspace.database) as connection:
        return is_current(connection)


def _with_absolute_paths(text: str, base: Path) -> str:
    """Return the TOML with absolute paths of local tasks, since the file moves into the workspace."""
    import tomlkit

    document = tomlkit.parse(text)
    for task in document.get("tasks", []):
        for key in ("path", "test_path"):
            if key in task and not Path(str(task[key])).is_absolute():
                task[key] = str(base / str(task[key]))
    return tomlkit.dumps(document)
