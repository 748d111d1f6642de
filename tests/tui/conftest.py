"""Fixtures of the terminal's tests: a realistic workspace, written through the store's own functions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot

from store.database.connection import open_writer
from store.database.migrations import migrate
from store.records import TrajectoryRow
from store.rollouts import trajectories
from store.workspace import Workspace
from tests.support.built_workspaces import Builder, Built, build_workspace
from tests.support.screen_text import screen_text
from tests.support.waiting import Patience, words


@pytest.fixture(autouse=True)
def own_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate every test from the preferences of the user who runs it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def build(tmp_path: Path) -> Builder:
    """Build the workspace of a test."""

    def make(n: int = 40, **options: str) -> Built:
        return build_workspace(tmp_path / "workspace", n, **options)

    return make


@pytest.fixture
def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the number of trajectories of each page read from the store."""
    counts: list[int] = []
    page = trajectories.page

    def counting(*arguments: Any, **options: Any) -> list[TrajectoryRow]:
        rows = page(*arguments, **options)
        counts.append(len(rows))
        return rows

    monkeypatch.setattr(trajectories, "page", counting)
    return counts


@pytest.fixture
def empty(tmp_path: Path) -> Workspace:
    """Return a newly created workspace: nothing has run."""
    workspace = Workspace(tmp_path / "workspace").create()
    writer = open_writer(workspace.database)
    migrate(writer)
    writer.close()
    return workspace


@pytest.fixture
def engine_lock() -> Iterator[Callable[[Workspace], None]]:
    """Hold the lock of a workspace in another process, as a living engine does."""
    holders: list[subprocess.Popen[bytes]] = []
    code = (
        "import fcntl, sys, time\n"
        "file = open(sys.argv[1], 'w')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(3600)"
    )

    def hold(workspace: Workspace) -> None:
        holder = subprocess.Popen([sys.executable, "-c", code, str(workspace.lock_file)], stdout=subprocess.PIPE)
        assert holder.stdout is not None
        holder.stdout.readline()
        holders.append(holder)

    yield hold
    for holder in holders:
        holder.kill()
        holder.wait()


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Let the application work until a condition holds; fails when its screen makes no progress."""

    def progress() -> object:
        # After the application has ended there is no screen to read.
        return words(screen_text(pilot.app)) if pilot.app.is_running else None

    patience = Patience(progress)
    while not condition():
        assert not patience.exhausted(), f"it did not happen, and nothing else does:\n{progress()}"
        await pilot.pause(0.05)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Awaitable[None]]:
    """See `until`."""
    return until


@pytest.fixture(name="screen_text")
def screen_text_fixture() -> Callable[[App[None]], str]:
    """See `screen_text`."""
    return screen_text
