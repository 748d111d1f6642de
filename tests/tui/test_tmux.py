"""Tests the complete workflow of an operator in a real tmux: monitor, filter, review ten, approve a gate, detach,
return.
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.control import directives
from tests.support.built_workspaces import Built
from tests.support.engines import EngineHarness, scripted_settings
from tests.support.waiting import read_until, wait_until, words

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

CODE = "import sys; sys.argv = ['reflectevo', *sys.argv[1:]]; from reflectevo_tui.cli import main; main()"


class Tmux:
    """A separate tmux server."""

    def __init__(self, socket: Path) -> None:
        self.socket = str(socket)

    def run(self, *arguments: str) -> str:
        """Run a tmux command."""
        command = ["tmux", "-S", self.socket, "-f", "/dev/null", *arguments]
        environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout

    def press(self, *keys: str) -> None:
        """Press keys, as if typed."""
        for key in keys:
            self.run("send-keys", "-t", "evo", key)
            time.sleep(0.05)

    def shown(self) -> str:
        """Return the text on the terminal."""
        return self.run("capture-pane", "-p", "-t", "evo")

    def until(self, condition: Callable[[str], object]) -> str:
        """Return the text once a condition holds; fails when the screen makes no progress."""
        shown = ""

        def reached() -> object:
            nonlocal shown
            shown = self.shown()
            return condition(shown)

        wait_until(reached, lambda: words(shown), lambda: f"shown:\n{shown}", every=0.1)
        return shown


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """Return the server; it is ended afterwards with everything that runs in it."""
    server = Tmux(tmp_path / "t.sock")
    yield server
    server.run("kill-server")


def reviews(built: Built) -> int:
    """Return the number of stored decisions."""
    return int(built.writer.execute("SELECT count(*) FROM reviews").fetchone()[0])


def at_place(place: int, shown: str) -> bool:
    """Check whether the reflection at that place of the sample is shown, without a decision."""
    return re.search(rf"^ *{place} of \d+ +○ not reviewed", shown, re.MULTILINE) is not None


def attach_and_detach(tmux: Tmux) -> None:
    """Attach a terminal, wait for the screen, and detach; the application is not affected."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", LC_ALL="C.UTF-8")
        os.execvp("tmux", ["tmux", "-S", tmux.socket, "attach", "-t", "evo"])
    seen = read_until(terminal, b"GATE")
    tmux.run("detach-client", "-s", "evo")
    os.close(terminal)
    os.waitpid(pid, 0)
    assert b"GATE" in seen
    assert "evo" in tmux.run("list-sessions")


def test_an_operators_round(build, tmux: Tmux, monkeypatch) -> None:
    built = build(120)
    built.run_flow()
    built.wait_at("train")
    arguments = [sys.executable, "-c", CODE, "-w", str(built.workspace.root)]
    tmux.run("new-session", "-d", "-s", "evo", "-x", "160", "-y", "50", *arguments)
    tmux.until(lambda shown: "GATE" in shown and "Newest" in shown)

    tmux.press("2")
    tmux.until(lambda shown: "x unfilter" in shown and "Trajectory" in shown)
    tmux.press("/")
    tmux.until(lambda shown: "enter searches" in shown)
    tmux.press(*"letters", "Enter")
    shown = tmux.until(lambda shown: '["letters" ✕]' in shown and "Trajectory" in shown)
    assert "Question" in shown

    tmux.press("F3")
    tmux.until(lambda shown: "not reviewed" in shown)
    for done in range(10):
        tmux.press("4" if done % 3 == 0 else "j", "r" if done % 2 else "a")
        # The count rises immediately, the next reflection is shown once it was read: only then does a key apply to it.
        tmux.until(lambda shown, done=done: f"{done + 1}/" in shown and at_place(done + 2, shown))
    tmux.until(lambda _: reviews(built) == 10)

    tmux.press("F1")
    tmux.until(lambda shown: "g look and approve" in shown)
    tmux.press("g")
    tmux.until(lambda shown: "esc close" in shown)
    tmux.press("a")
    tmux.until(lambda _: directives.pending(built.writer))
    assert [one.kind for one in directives.pending(built.writer)] == ["approve"]

    attach_and_detach(tmux)

    # A smaller terminal that attaches later gets a smaller screen.
    tmux.run("resize-window", "-t", "evo", "-x", "80", "-y", "24")
    shown = tmux.until(lambda shown: len(shown.rstrip("\n").splitlines()) == 24 and "GATE" in shown)
    assert all(len(line) <= 80 for line in shown.splitlines())
    tmux.press("q")
    wait_until(lambda: "evo" not in tmux.run("list-sessions"), describe=lambda: "it did not leave", every=0.1)


def test_run_opens_the_application_on_the_run_that_it_started(
    harness: Callable[[str], EngineHarness], tmux: Tmux
) -> None:
    """`run --tui`, which `make demo` calls in a terminal; `textual` must not be imported before the terminal is
    prepared, however the run is checked and started.
    """
    one = harness(scripted_settings('pace = "step"\n'))
    arguments = [sys.executable, "-c", CODE, "run", "-w", str(one.workspace.root), "--tui"]
    tmux.run("new-session", "-d", "-s", "evo", "-x", "160", "-y", "50", "sh", "-c", f"{shlex.join(arguments)}; cat")
    tmux.until(lambda shown: "iteration 1" in shown and "g look and approve" in shown)
    tmux.press("q")
    tmux.until(lambda shown: "started" in shown)
    assert one.status()["engine"]["state"] == "running"


def test_without_a_terminal_run_does_not_start_what_nobody_would_see(harness: Callable[[str], EngineHarness]) -> None:
    one = harness(scripted_settings())
    command = [sys.executable, "-c", CODE, "run", "-w", str(one.workspace.root), "--tui"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode != 0 and "not a terminal" in done.stderr
    assert one.status()["run"] is None
