"""Tests of the workspace lock: one holder, identified to other processes, released however the holder ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import WorkspaceHeld
from engine.supervisor.lock import WorkspaceLock
from store.control.liveness import lock_owner
from store.control.lock_file import boot_id
from tests.support.waiting import wait_for_exit

HOLDER = """
import sys, subprocess
from pathlib import Path
from engine.supervisor.lock import WorkspaceLock
lock = WorkspaceLock(Path(sys.argv[1]))
lock.acquire()
helper = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=sys.stdin)
print(helper.pid, flush=True)
helper.wait()
"""


@contextmanager
def holder(lock_file: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock, and has its own child process."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert int(process.stdout.readline())
        yield process
    finally:
        process.stdin.close()
        wait_for_exit(process)
        process.stdout.close()


def test_a_held_lock_is_refused_and_names_its_holder(tmp_path: Path) -> None:
    """The second engine's error names the holder, so that an operator can find it."""
    lock_file = tmp_path / "engine.lock"
    with holder(lock_file) as process:
        with pytest.raises(WorkspaceHeld, match=f"held by another engine \\(pid {process.pid}, since 20"):
            WorkspaceLock(lock_file).acquire()
        # The refused attempt must not affect the holder.
        assert lock_owner(lock_file) == process.pid
        assert json.loads(lock_file.read_text())["pid"] == process.pid


def test_a_kill_frees_it_even_while_a_child_of_the_holder_lives(tmp_path: Path) -> None:
    """With flock a forked child would keep the lock; the next engine must be able to start immediately."""
    lock_file = tmp_path / "engine.lock"
    with holder(lock_file) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        lock = WorkspaceLock(lock_file)
        lock.acquire()
        lock.release()


def test_the_file_says_who_and_since_when_and_is_private(tmp_path: Path) -> None:
    """A pid is meaningful only together with its boot id."""
    lock_file = tmp_path / "engine.lock"
    lock_file.write_text("x" * 500)
    lock_file.chmod(0o644)
    lock = WorkspaceLock(lock_file)
    lock.acquire()
    try:
        owner = json.loads(lock_file.read_text())
        assert (owner["pid"], owner["boot"]) == (os.getpid(), boot_id())
        assert lock_file.stat().st_mode & 0o777 == 0o600
    finally:
        lock.release()


def test_a_holder_that_has_not_signed_yet_is_refused_all_the_same(tmp_path: Path) -> None:
    """Between locking and writing the file, or with a damaged file, only the kernel's answer counts: the file may still
    name an earlier engine.
    """
    lock_file = tmp_path / "engine.lock"
    with holder(lock_file) as process:
        for content in ("", "not json", "[]", '{"pid": 1}', '{"pid": 1, "started": 1.0}'):
            # Written through a separate path: closing another descriptor here releases no lock of this process.
            lock_file.write_text(content)
            with pytest.raises(WorkspaceHeld, match=f"held by another engine \\(pid {process.pid}\\)"):
                WorkspaceLock(lock_file).acquire()
