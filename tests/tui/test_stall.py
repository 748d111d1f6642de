"""Tests the detection of stalls: a process hangs when it uses no CPU time, however long it takes in total."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from reflectevo_tui.engine_client import directives, process, stall
from reflectevo_tui.engine_client.process import EngineUnavailable, ask_engine, start_engine
from reflectevo_tui.engine_client.stall import StallDetector
from store.errors import DirectiveRefused
from store.workspace import Workspace
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings

ASLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.mark.parametrize(
    ("share", "stalled"),
    [
        pytest.param(1.0, False, id="a whole core"),
        pytest.param(0.02, False, id="one of fifty on a core"),
        pytest.param(0.001, True, id="looks around now and then"),
        pytest.param(0.0, True, id="nothing"),
    ],
)
def test_a_process_stalls_when_it_uses_no_cpu_time(
    monkeypatch: pytest.MonkeyPatch, share: float, stalled: bool
) -> None:
    """However long it takes: ten minutes on a share of a core count as work, one minute without CPU time is a hang."""
    now = 0.0
    monkeypatch.setattr(stall.time, "monotonic", lambda: now)
    monkeypatch.setattr(stall, "_cpu_seconds", lambda _: share * now)
    detector = StallDetector(1, 60.0)
    seen = []
    while now < 600.0:
        now += 0.5
        seen.append(detector.stalled())
    assert any(seen) is stalled
    assert not any(seen[:100]), "not before its time"


def test_the_cpu_time_of_a_process_counts_what_runs_below_it() -> None:
    """A supervisor that waits for its busy workers makes progress."""
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        while not (below := psutil.Process(parent.pid).children()):
            continue
        before = stall._cpu_seconds(parent.pid)
        while stall._cpu_seconds(parent.pid) < before + 0.2:
            continue
        below[0].kill()
    finally:
        parent.kill()
        parent.wait()
    assert stall._cpu_seconds(parent.pid) == 0.0, "a process that is gone uses none"


def test_an_engine_that_hangs_at_its_start_is_reported(
    empty: Workspace, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    monkeypatch.setattr(process, "READY_SECONDS", 0.5)
    monkeypatch.setattr(process, "engine_command", lambda *_: ASLEEP)
    with pytest.raises(EngineUnavailable, match="did not start: it has done nothing for 0 s"):
        start_engine(empty)
    assert started[0].poll() is None, "it may still come to life; its log says more"


def test_a_question_that_hangs_is_reported_and_its_process_ended(
    monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    monkeypatch.setattr(process, "engine_command", lambda *_: ASLEEP)
    with pytest.raises(EngineUnavailable, match="gave no answer and has done nothing"):
        ask_engine("capabilities", seconds=0.5)
    assert started[0].poll() == -signal.SIGKILL


def test_an_engine_that_is_stopped_by_a_signal_does_not_answer(
    harness: Callable[[str], EngineHarness], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directive stays queued, and is applied when the engine resumes."""
    monkeypatch.setattr(directives, "_ANSWER_SECONDS", 0.5)
    one = harness(quiz_settings(tmp_path, train=4, test=2))
    pid = one.start()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(DirectiveRefused, match="hasn't answered"):
            one.issue("shut_down")
    finally:
        os.kill(pid, signal.SIGCONT)
    one.wait(lambda: one.engine_pid() is None)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[subprocess.Popen[bytes]]:
    """Record every started process; they are ended afterwards."""
    made: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[call-overload]
            made.append(self)

    def end() -> None:
        for one in made:
            one.kill()
            one.wait()

    monkeypatch.setattr(process.subprocess, "Popen", Noted)
    request.addfinalizer(end)
    return made
