"""Tests of workspaces of earlier versions: they open, keep their rows, and are not changed where they can't be."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database
from typer.testing import CliRunner

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.cli import app as command_line
from reflectevo_tui.engine_client.upgrade import EarlierVersion, bring_up_to_date
from store.database import migrations
from store.database.connection import APPLICATION_ID, SCHEMA_VERSION, open_writer, reading
from store.workspace import Workspace
from tests.support.rows import Rows, run_settings

NAMES = [one.name for one in migrations._migrations().pending(Database(memory=True))]
OLD = range(1, len(NAMES))


def of_version(root: Path, version: int) -> Workspace:
    """A workspace with the schema of an earlier version, and a run with a few rows."""
    workspace = Workspace(root).create()
    with closing(open_writer(workspace.database)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        migrations._migrations().apply(Database(connection), stop_before=NAMES[version])
        connection.execute(
            "INSERT INTO runs (name, base_model, settings, base_directory, origin, state, created)"
            " VALUES ('old', 'tiny', ?, '/', 'engine', 'ready', 1)",
            (run_settings().model_dump_json(),),
        )
        connection.execute(
            "INSERT INTO policies (run_id, name, setting, path, base_model, state, created)"
            " VALUES (1, 'p00', 'base', 'x', 'tiny', 'promoted', 1)"
        )
        connection.execute(
            "INSERT INTO evaluations (policy_id, protocol, task, n, metrics, created)"
            " VALUES (1, 'oracle/a', '', 9, ?, 1)",
            ('{"acc_t1": {"value": 0.4}, "acc_t2": {"value": 0.5}}',),
        )
    return workspace


def schema_of(workspace: Workspace) -> int:
    with reading(workspace.database) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_every_earlier_schema_is_listed() -> None:
    assert len(NAMES) == SCHEMA_VERSION and all(name.startswith(f"{n:04}_") for n, name in enumerate(NAMES, start=1))


@pytest.mark.parametrize("version", OLD)
def test_a_workspace_of_every_earlier_version_is_brought_up_to_date(version: int, tmp_path: Path) -> None:
    workspace = of_version(tmp_path / "old", version)
    assert schema_of(workspace) == version
    made = CliRunner().invoke(command_line, ["report", "-w", str(workspace.root), "--json"])
    assert made.exit_code == 0, made.output
    assert f"earlier version (schema {version})" in made.stderr and '"acc_t2"' in made.stdout
    assert schema_of(workspace) == SCHEMA_VERSION
    again = CliRunner().invoke(command_line, ["report", "-w", str(workspace.root), "--json"])
    assert again.exit_code == 0 and "earlier version" not in again.stderr
    with reading(workspace.database) as connection:
        assert connection.execute("SELECT name, state FROM policies").fetchall()[0][0] == "p00"


async def test_every_screen_opens_on_an_old_workspace(tmp_path: Path, until: Callable[..., Awaitable[None]]) -> None:
    """A query of a column that the old schema lacks ended the application with advice to check the disk."""
    workspace = of_version(tmp_path / "old", 1)
    assert bring_up_to_date(workspace) == 1
    application = ReflectEvoApp(workspace)
    async with application.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: application.snapshot is not None)
        for key in ("f2", "f3", "f4", "f5", "f6", "f7", "f8", "f1"):
            await pilot.press(key)
            await pilot.pause(0.1)
        assert application.return_code is None


def test_a_running_engine_of_the_earlier_version_is_named(tmp_path: Path) -> None:
    workspace = of_version(tmp_path / "old", 3)
    code = (
        "import sys; from pathlib import Path; from engine.supervisor.lock import WorkspaceLock;"
        f" WorkspaceLock(Path({str(workspace.lock_file)!r})).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(EarlierVersion, match=rf"pid {holder.pid}\)\. End it .* reflectevo shutdown"):
            bring_up_to_date(workspace)
        holder.kill()
    assert schema_of(workspace) == 3


def test_a_database_that_may_not_be_written_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = of_version(tmp_path / "old", 5)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(EarlierVersion, match="ask its owner to open it once"):
        bring_up_to_date(workspace)
    assert schema_of(workspace) == 5


def test_a_current_and_a_newer_workspace_are_not_changed(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "reflectevo.db", run_settings())
    rows.connection.close()
    workspace = Workspace(tmp_path)
    assert bring_up_to_date(workspace) is None
    copy = tmp_path / "newer"
    copy.mkdir()
    shutil.copy(workspace.database, copy / "reflectevo.db")
    with closing(sqlite3.connect(copy / "reflectevo.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    made = CliRunner().invoke(command_line, ["report", "-w", str(copy)])
    assert made.exit_code == 1 and "newer version (schema 99" in made.output
