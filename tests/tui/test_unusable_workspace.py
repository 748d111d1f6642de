"""Tests commands on unusable workspaces: one message that names the problem and the fix, and no traceback."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from store.control.liveness import lock_owner
from store.database.connection import open_writer
from store.database.migrations import migrate
from store.workspace import Workspace
from tests.support.built_workspaces import Builder

COMMANDS = {
    "status": ("status",),
    "report": ("report", "--to", "{to}"),
    "export": ("export", "--run", "demo", "--format", "published-raw", "--to", "{to}"),
    "promote": ("promote", "p00"),
    "pause": ("pause",),
}


def reflectevo(
    workspace: Path, name: str, to: Path, *, before: Callable[[], None] | None = None, wrapper: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command as an operator does, in a separate process; `wrapper` is a command that runs a command."""
    program = "from reflectevo_tui.cli import main; main()"
    arguments = [part.format(to=to) for part in COMMANDS[name]]
    done = subprocess.run(
        [
            *wrapper,
            sys.executable,
            "-c",
            program,
            "-w",
            str(workspace),
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=before,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd="/",
    )
    engine = lock_owner(Workspace(workspace).lock_file)
    if engine is not None:
        os.kill(engine, signal.SIGTERM)
    return done


def assert_one_message(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check that the command failed with one message that contains the words, and no traceback."""
    said = done.stderr + done.stdout
    assert done.returncode == 1, said
    assert "Traceback" not in said and "Error:" not in said, said
    assert 1 <= len(done.stderr.strip().splitlines()) <= 3, said
    for word in words:
        assert word in done.stderr, said


def _missing(root: Path) -> tuple[str, ...]:
    shutil.rmtree(root)
    return ("no workspace in", "reflectevo init")


def _a_file(root: Path) -> tuple[str, ...]:
    shutil.rmtree(root)
    root.write_text("a file")
    return ("no workspace in", "reflectevo init")


def _foreign(root: Path) -> tuple[str, ...]:
    database = Workspace(root).database
    for path in root.glob("reflectevo.db*"):
        path.unlink()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
        connection.commit()
    return ("database of another program", "Choose another workspace")


def _not_a_database(root: Path) -> tuple[str, ...]:
    for path in root.glob("reflectevo.db*"):
        path.unlink()
    Workspace(root).database.write_bytes(b"no database " * 1000)
    return ("can't be read as a database", "reflectevo repair")


TROUBLES = {"missing": _missing, "a file": _a_file, "foreign": _foreign, "no database": _not_a_database}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pristine") / "w"
    workspace = Workspace(root).create()
    with closing(open_writer(workspace.database)) as connection:
        migrate(connection)
    return root


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_workspace_that_is_none_is_refused_in_one_message(
    pristine: Path, tmp_path: Path, trouble: str, name: str
) -> None:
    root = tmp_path / "w"
    shutil.copytree(pristine, root)
    words = TROUBLES[trouble](root)
    assert_one_message(reflectevo(root, name, tmp_path / "to"), *words)


def _zero_pages(database: Path) -> None:
    """Zero the first page of three tables in a database that no process has open."""
    with closing(sqlite3.connect(database)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        roots = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name IN ('attempts', 'policies', 'stages')"
        ).fetchall()
    assert len(roots) == 3
    with database.open("r+b") as file:
        for (page,) in roots:
            file.seek((page - 1) * size)
            file.write(bytes(size))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_damaged_database_is_named(build: Builder, tmp_path: Path, name: str) -> None:
    built = build(60)
    built.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    built.writer.close()
    _zero_pages(built.workspace.database)
    done = reflectevo(built.workspace.root, name, tmp_path / "to")
    if name == "pause" and done.returncode == 0:
        # Without an engine this only queues a directive, whose table is intact.
        assert "queued" in done.stdout and not done.stderr, done.stderr
        return
    assert_one_message(done, "can't be read as a database", "reflectevo repair")


def _small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.parametrize("name", ["report", "export", "promote", "pause"])
def test_a_disk_that_takes_no_more_is_named(build: Builder, tmp_path: Path, name: str) -> None:
    built = build(20)
    done = reflectevo(built.workspace.root, name, tmp_path / "to", before=_small_files)
    assert_one_message(done, "can't be")


def _read_only(root: Path) -> list[str]:
    """Make a directory read-only for a command: by a mount for root, who can write everywhere, else by its mode."""
    if os.geteuid() != 0:
        for path in (*root.rglob("*"), root):
            path.chmod(0o500 if path.is_dir() else 0o400)
        return []
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    wrapper = ["unshare", "-m", "sh", "-c", script, str(root)]
    if shutil.which("unshare") is None or subprocess.run([*wrapper, "true"], check=False).returncode:
        pytest.skip("no read-only mount can be made here")
    return wrapper


@pytest.mark.parametrize("name", COMMANDS)
def test_a_read_only_workspace_is_named(build: Builder, tmp_path: Path, name: str) -> None:
    built = build(20)
    built.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    built.writer.close()
    wrapper = _read_only(built.workspace.root)
    done = reflectevo(built.workspace.root, name, tmp_path / "to", wrapper=wrapper)
    assert_one_message(done, "can't be", str(built.workspace.root))
