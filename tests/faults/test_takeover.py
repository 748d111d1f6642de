"""Tests takeover: a silent engine is described, and ended only when proved to be ours; a hung worker is ended too."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from engine.stages.job import Job
from engine.supervisor import child_processes
from engine.supervisor.child_processes import Child, tagged_processes
from engine.supervisor.supervisor import Supervisor
from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.engine_client.takeover import describe_holder, take_over
from reflectevo_tui.screens.dialogs.confirm import ConfirmDialog
from store.control.liveness import STALE_SECONDS
from store.control.takeover import end_holder
from store.database.connection import open_writer
from store.errors import TakeoverRefused
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings
from tests.support.waiting import wait_until
from tests.tui.test_cli import cli

Make = Callable[[str], EngineHarness]

_OTHER = '{"pid": %d, "started": 1.0, "boot": "another", "ticks": 1, "trouble": ""}'


@pytest.fixture
def silent(harness: Make, tmp_path: Path) -> Iterator[EngineHarness]:
    """Return an engine stopped by a signal in the middle of a run, so that it is alive and silent."""
    one = harness(quiz_settings(tmp_path, train=200))
    pid = one.start(0.3)
    one.run()
    one.wait(lambda: one.stage("attempt").get("done", 0) > 0)
    os.kill(pid, signal.SIGSTOP)
    # Simulates a minute of silence without waiting: only the time of the heartbeat counts.
    connection = open_writer(one.workspace.database)
    connection.execute("UPDATE heartbeats SET beat = beat - ? WHERE slot = 'engine'", (STALE_SECONDS + 60,))
    connection.close()
    yield one
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def test_a_silent_engine_is_described_and_taken_over_from_the_shell(silent: EngineHarness) -> None:
    """The message names process, silence, state and stage; after confirmation another engine continues the run."""
    old, acknowledged = silent.engine_pid(), set(silent.rows("SELECT id, reasoning FROM attempts"))
    done = cli("-w", silent.workspace.root, "takeover", "--yes")
    assert done.returncode == 0, done.stderr
    for words in (f"process {old} holds the workspace, started", "silent for", "SIGSTOP", "rollout", "last event"):
        assert words in done.stdout
    assert f"process {old} was ended by SIGKILL" in done.stdout
    new = silent.engine_pid()
    assert new is not None and new != old
    assert acknowledged <= set(silent.rows("SELECT id, reasoning FROM attempts"))
    assert silent.status()["engine"]["state"] == "running"


def test_without_a_yes_nothing_is_ended(silent: EngineHarness) -> None:
    """The question has no default, and a script that can't answer leaves everything alone."""
    old = silent.engine_pid()
    assert cli("-w", silent.workspace.root, "takeover").returncode != 0
    assert silent.engine_pid() == old


def test_an_engine_that_works_is_left_alone(harness: Make, tmp_path: Path) -> None:
    """Only a silent engine may be taken over."""
    one = harness(quiz_settings(tmp_path))
    pid = one.start()
    done = cli("-w", one.workspace.root, "takeover", "--yes")
    assert done.returncode == 1
    assert "it is running and responding" in done.stdout and "no takeover" in done.stdout
    with pytest.raises(TakeoverRefused, match="running and responding"):
        take_over(one.workspace)
    assert one.engine_pid() == pid
    one.shut_down()
    assert describe_holder(one.workspace).lines == ("no engine holds this workspace; `reflectevo run` starts one",)
    with pytest.raises(TakeoverRefused, match="nothing to take over"):
        end_holder(one.workspace.lock_file)


@pytest.mark.parametrize("forged", [_OTHER, "", "[]"])
def test_a_process_that_is_not_proved_to_be_the_engine_is_never_ended(
    harness: Make, tmp_path: Path, forged: str
) -> None:
    """A holder of the lock that didn't record its start time and boot id is left alone."""
    one = harness(quiz_settings(tmp_path))
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True)"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{code}; time.sleep(3600)", str(one.workspace.lock_file)], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        one.workspace.lock_file.write_text(forged % holder.pid if "%d" in forged else forged)
        assert "could not be verified" in "; ".join(describe_holder(one.workspace).lines)
        with pytest.raises(TakeoverRefused, match="could not be verified"):
            end_holder(one.workspace.lock_file)
        assert holder.poll() is None
    finally:
        holder.kill()
        holder.wait()


async def test_the_application_offers_the_takeover_with_the_account(silent: EngineHarness, until) -> None:  # type: ignore[no-untyped-def]
    """`e` on a silent engine first asks, showing the known facts; `y` ends it and starts another."""
    old = silent.engine_pid()
    app = ReflectEvoApp(silent.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: app.snapshot and app.snapshot.engine.state == "stale")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("n")
        await pilot.pause(0.2)
        assert silent.engine_pid() == old
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("y")
        await until(pilot, lambda: silent.engine_pid() not in (old, None))


def test_a_hung_child_is_named_ended_and_tried_again_within_bounds(harness: Make, tmp_path: Path) -> None:
    """An event names a process without progress; after three times its stage fails with the reason."""
    one = harness(quiz_settings(tmp_path, top="stall_minutes = 0.01", train=200))
    one.start(1.5)
    one.run()
    told = lambda words: [text for (text,) in one.rows("SELECT text FROM events") if words in text]  # noqa: E731
    one.wait(lambda: told("made no progress for"))
    one.wait(lambda: told("process hung; it is being restarted"))
    status = one.wait_state("failed")
    assert len(told("made no progress for")) == 3
    assert len(told("process hung; it is being restarted")) == 2
    assert "process hung; see" in status["iteration"]["reason"]
    assert not tagged_processes(one.workspace)
    assert status["engine"]["state"] == "running"


def test_a_paused_child_is_not_taken_for_a_hung_one(harness: Make, tmp_path: Path) -> None:
    """A process without progress is no fault while paused by an operator or while the disk is full."""
    one = harness(quiz_settings(tmp_path))
    one.start()
    one.run()
    one.wait_state("done")
    one.shut_down()
    supervisor = Supervisor(one.workspace, open_writer(one.workspace.database), lambda _: None)
    supervisor._stall_seconds = 0.01
    child = _deaf_child()
    try:
        supervisor._look_for_progress(child)
        child.paused = True
        time.sleep(0.05)
        supervisor._look_for_progress(child)
        assert not child.hung
        child.paused = False
        supervisor._look_for_progress(child)
        assert not child.hung, "it gets the whole time again after a pause"
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorcode = sqlite3.SQLITE_FULL
        time.sleep(0.05)
        supervisor._report_unwritable(full)
        supervisor._look_for_progress(child)
        assert not child.hung, "and after a full disk"
        time.sleep(0.05)
        supervisor._look_for_progress(child)
        assert child.hung
    finally:
        child.process.kill()
        child.process.wait()
        child.close()


_DEAF = """
import signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
    signal.signal(number, signal.SIG_IGN)
print("up", flush=True)
while True:
    time.sleep(1)
"""


def _deaf_child() -> Child:
    process = subprocess.Popen([sys.executable, "-c", _DEAF], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    readable, writable = os.pipe()
    os.close(writable)
    os.set_blocking(readable, False)
    return Child(Job("train", 1, 1), process, readable, time.monotonic())


@pytest.mark.parametrize("hung", [False, True])
def test_a_child_that_ignores_everything_is_killed_in_the_end(monkeypatch: pytest.MonkeyPatch, hung: bool) -> None:
    """Stop, SIGTERM, SIGKILL, in this order and not before their timeouts."""
    term, kill = ("HUNG_TERM_AFTER", "HUNG_KILL_AFTER") if hung else ("TERM_AFTER", "KILL_AFTER")
    monkeypatch.setattr(child_processes, term, 3600.0)
    monkeypatch.setattr(child_processes, kill, 3600.0)
    child = _deaf_child()
    child.escalate()
    assert child.exit_code() is None and child.stop_asked is None
    child.end_hung() if hung else child.ask_stop()
    child.escalate()
    assert not child._terminated, "it has just been asked"
    monkeypatch.setattr(child_processes, term, 0.0)
    child.escalate()
    assert child._terminated, "SIGTERM comes first"
    child.escalate()
    assert child.exit_code() is None, "it is not killed before the second limit"
    monkeypatch.setattr(child_processes, kill, 0.0)
    child.escalate()
    wait_until(lambda: child.exit_code() is not None)
    assert child.exit_code() == -signal.SIGKILL
    child.close()


def test_two_applications_and_a_command_line_at_once(harness: Make, tmp_path: Path) -> None:
    """Three clients that read and issue directives: each is applied once, and the run ends as with a single client."""
    from tests.faults.terminals import terminal
    from tests.support.engines import REFLECTED, WORK

    alone, shared = harness(quiz_settings(tmp_path)), harness(quiz_settings(tmp_path))
    alone.start()
    alone.run()
    alone.wait_state("done")
    shared.start(0.05)
    with terminal(shared.workspace.root) as one, terminal(shared.workspace.root, 80, 24) as other:
        shared.run()
        for each in (one, other):
            each.read_until(b"Monitor")
        for _ in range(3):
            one.type("p")
            other.type("?")
            shared.issue("resume")
            other.type("\x1b")
            one.read(0.2)
            other.read(0.2)

        def ended() -> bool:
            one.read(0.05)
            other.read(0.05)
            state = shared.status()["iteration"]["state"]
            if state == "paused":
                shared.issue("resume")
            return bool(state == "done")

        shared.wait(ended)
        assert one.alive() and other.alive()
    assert shared.rows(WORK) == alone.rows(WORK)
    assert shared.rows(REFLECTED) == alone.rows(REFLECTED)
    directives = shared.rows("SELECT count(*), count(done) FROM directives")
    logged = shared.rows("SELECT count(*) FROM events WHERE source = 'directive'")
    assert directives == [(logged[0][0], logged[0][0])]
