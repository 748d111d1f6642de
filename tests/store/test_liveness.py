"""Tests the check for a living engine: the lock is inspected, never acquired."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.control.liveness import STALE_SECONDS, engine_state, lock_owner
from store.control.telemetry import beat
from tests.support.rows import Rows
from tests.support.waiting import wait_for_exit

HOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(lock_file: Path) -> Iterator[int]:
    """Hold the lock in another process; yields its pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock_file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process.pid
    finally:
        process.stdin.close()
        wait_for_exit(process)
        process.stdout.close()


def test_the_owner_is_named_without_taking_the_lock(tmp_path: Path) -> None:
    """Terminals check several times a second; if that acquired the lock, a starting engine could be refused."""
    lock_file = tmp_path / "engine.lock"
    assert lock_owner(lock_file) is None
    assert not lock_file.exists()
    with held(lock_file) as pid:
        assert lock_owner(lock_file) == pid
    # Free again, and inspecting it leaves it free: another process acquires it.
    assert lock_owner(lock_file) is None
    with held(lock_file) as pid:
        assert [lock_owner(lock_file) for _ in range(20)] == [pid] * 20


def test_alive_silent_and_stopped_are_three_things(rows: Rows, tmp_path: Path) -> None:
    """ "Stale" must not be shown as stopped: a second engine could not start, and the first still writes."""
    lock_file = tmp_path / "engine.lock"
    assert engine_state(rows.connection, lock_file).state == "stopped"
    with held(lock_file) as pid:
        state = engine_state(rows.connection, lock_file)
        assert (state.state, state.pid, state.silent_for) == ("stale", pid, None)
        beat(rows.connection, "engine", pid, time.time(), "idle")
        state = engine_state(rows.connection, lock_file)
        assert (state.state, state.pid) == ("running", pid)
        rows.connection.execute("UPDATE heartbeats SET beat = beat - ?", (STALE_SECONDS + 1,))
        state = engine_state(rows.connection, lock_file)
        assert state.state == "stale"
        assert state.silent_for is not None and state.silent_for > STALE_SECONDS
    state = engine_state(rows.connection, lock_file)
    assert (state.state, state.pid) == ("stopped", None)


def test_a_clock_that_was_set_back_is_not_negative_silence(rows: Rows, tmp_path: Path) -> None:
    """A heartbeat from the future (NTP) counts as fresh."""
    beat(rows.connection, "engine", 1, time.time(), "idle")
    rows.connection.execute("UPDATE heartbeats SET beat = beat + 3600")
    assert engine_state(rows.connection, tmp_path / "engine.lock").silent_for == 0.0
