"""Tests of creating a workspace: nothing is left after a refusal, nothing is overwritten, relative paths still
resolve.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import pytest

from engine.commands.init import init_workspace
from engine.errors import WorkspaceHeld
from store.control.telemetry import capabilities
from store.database.connection import open_reader
from store.database.migrations import is_current
from store.errors import NotOurDatabase, SettingsError
from store.settings.tasks import ChoiceTask
from store.settings.toml_file import load_settings
from store.workspace import Workspace
from tests.engine.test_lock import holder

LOCAL = """\
# kept comment
name = "mine"
model = "m"

[[tasks]]
kind = "choice"
name = "quiz"
path = "data/quiz.jsonl"
test_path = "/abs/test.jsonl"
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A path without a workspace."""
    return Workspace(tmp_path / "made" / "workspace")


def test_a_new_workspace_is_complete_private_and_knows_its_engine(workspace: Workspace) -> None:
    """Directories 0700, files 0600, the recipe as shipped, and the engine's capabilities as rows."""
    answer = init_workspace(workspace, "demo-cpu", None, replace=False)
    assert answer == {
        "workspace": str(workspace.root),
        "settings": str(workspace.settings_file),
        "created": True,
        "wrote": True,
    }
    assert load_settings(workspace.settings_file).name == "demo"
    for path in workspace.root.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert workspace.root.stat().st_mode & 0o777 == 0o700
    with closing(open_reader(workspace.database)) as connection:
        assert is_current(connection)
        published = capabilities(connection)
    assert "demo-cpu" in published["recipes"]  # type: ignore[operator]
    assert "scripted" in published["generators"]  # type: ignore[operator]
    pool = published["instructions"]
    assert isinstance(pool, dict) and [len(pool[part]) for part in ("verify", "locate", "plan")] == [2, 8, 2]
    assert published["engine"]["executable"] == sys.executable  # type: ignore[index]


def test_relative_task_paths_keep_meaning_the_directory_of_their_file(workspace: Workspace, tmp_path: Path) -> None:
    """The settings file moves into the workspace; `data/quiz.jsonl` must still refer to the operator's file."""
    file = tmp_path / "settings" / "mine.toml"
    file.parent.mkdir()
    file.write_text(LOCAL)
    init_workspace(workspace, "demo-cpu", file, replace=False)
    (task,) = load_settings(workspace.settings_file).tasks
    assert isinstance(task, ChoiceTask)
    assert task.path == str(file.parent / "data" / "quiz.jsonl")
    assert task.test_path == "/abs/test.jsonl"
    assert "# kept comment" in workspace.settings_file.read_text()


def test_existing_settings_and_rows_are_kept_unless_replaced(workspace: Workspace, tmp_path: Path) -> None:
    """Creating a workspace a second time must not overwrite an operator's edits, nor anything in the database."""
    init_workspace(workspace, "demo-cpu", None, replace=False)
    edited = workspace.settings_file.read_text() + "\n# edited\n"
    workspace.settings_file.write_text(edited)
    with closing(open_reader(workspace.database)) as connection:
        before = [tuple(row) for row in connection.execute("SELECT * FROM _sqlite_migrations")]
    answer = init_workspace(workspace, "demo-cpu", None, replace=False)
    assert (answer["created"], answer["wrote"]) == (False, False)
    assert workspace.settings_file.read_text() == edited
    with closing(open_reader(workspace.database)) as connection:
        assert [tuple(row) for row in connection.execute("SELECT * FROM _sqlite_migrations")] == before
    assert init_workspace(workspace, "demo-cpu", None, replace=True)["wrote"]
    assert "# edited" not in workspace.settings_file.read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name = 'x'\n[trainig]\n", r"bad\.toml, line 2: unknown setting 'trainig'; did you mean 'training'"),
        (b"name = \n", "not valid TOML"),
        (b"\xff", "can't read .*bad.toml"),
        (None, "can't read .*bad.toml"),
    ],
)
def test_bad_settings_refuse_and_make_nothing(
    workspace: Workspace, tmp_path: Path, content: bytes | None, words: str
) -> None:
    """A partial workspace would fail the next attempt with another error."""
    file = tmp_path / "bad.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=words):
        init_workspace(workspace, "demo-cpu", file, replace=False)
    assert not workspace.root.exists()


def test_an_unknown_recipe_is_refused_with_those_there_are(workspace: Workspace) -> None:
    """Nothing is created either."""
    with pytest.raises(SettingsError, match="there is no recipe 'demo'; there are: .*demo-cpu"):
        init_workspace(workspace, "demo", None, replace=False)
    assert not workspace.root.exists()


def test_a_workspace_whose_engine_runs_is_left_alone(workspace: Workspace) -> None:
    """Only the holder of the lock may migrate, never under a running engine."""
    init_workspace(workspace, "demo-cpu", None, replace=False)
    before = workspace.settings_file.read_text()
    with holder(workspace.lock_file), pytest.raises(WorkspaceHeld):
        init_workspace(workspace, "demo-cpu", None, replace=True)
    assert workspace.settings_file.read_text() == before


def test_a_whole_workspace_whose_engine_runs_needs_nothing(workspace: Workspace) -> None:
    """The demo can be run again while its first engine is still idle."""
    init_workspace(workspace, "demo-cpu", None, replace=False)
    before = workspace.settings_file.read_text()
    with holder(workspace.lock_file):
        done = init_workspace(workspace, "demo-cpu", None, replace=False)
    assert (done["created"], done["wrote"]) == (False, False)
    assert workspace.settings_file.read_text() == before


def test_a_foreign_database_in_its_place_is_refused(workspace: Workspace) -> None:
    """`-w` with the wrong directory must not change its contents."""
    workspace.root.mkdir(parents=True)
    workspace.database.write_bytes(b"not a database at all, but somebody's file" * 30)
    before = workspace.database.read_bytes()
    with pytest.raises(NotOurDatabase):
        init_workspace(workspace, "demo-cpu", None, replace=False)
    assert workspace.database.read_bytes() == before
