"""Tests that a process counts as the engine that wrote a lock file only when pid, start time and boot id all agree."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from store.control.lock_file import describe_myself, verified_holder


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    """Return a lock file written by this process."""
    path = tmp_path / "engine.lock"
    path.write_bytes(describe_myself("the disk is full"))
    return path


def test_the_process_that_wrote_it_is_verified(lock_file: Path) -> None:
    holder = verified_holder(lock_file, os.getpid())
    assert holder is not None and (holder.pid, holder.trouble) == (os.getpid(), "the disk is full")


@pytest.mark.parametrize("changes", [{"boot": "another"}, {"ticks": 1}, {"pid": 1}])
def test_a_pid_that_was_used_again_is_not(lock_file: Path, changes: dict[str, Any]) -> None:
    """The same pid after a reboot, the same pid with a later start, and another pid."""
    lock_file.write_text(json.dumps({**json.loads(lock_file.read_text()), **changes}))
    assert verified_holder(lock_file, os.getpid()) is None


def test_another_process_and_an_empty_file_are_not(lock_file: Path) -> None:
    assert verified_holder(lock_file, os.getppid()) is None
    lock_file.write_text("")
    assert verified_holder(lock_file, os.getpid()) is None
