"""The whole way of an operator in a real tmux: monitor, filter, review ten, approve a gate, detach, come back."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.control import directives
from tests.support.built_workspaces import Built
from tests.support.waiting import read_until, wait_until, words

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

CODE = "import sys; sys.argv = ['reflectevo', *sys.argv[1:]]; from reflectevo_tui.cli import main; main()"


class Tmux:
    """A tmux server of its own."""

    def __init__(self, socket: Path) -> None:
        self.socket = str(socket)

    def run(self, *arguments: str) -> str:
        """A tmux command."""
        command = ["tmux", "-S", self.socket, "-f", "/dev/null", *arguments]
        environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout

    def press(self, *keys: str) -> None:
        """Press keys, as if typed."""
        for key in keys:
            self.run("send-keys", "-t", "evo", key)
            time.sleep(0.05)

    def shown(self) -> str:
        """What the terminal shows."""
        return self.run("capture-pane", "-p", "-t", "evo")

    def until(self, condition: Callable[[str], object]) -> str:
        """What is shown once a condition holds; fails when the screen stands still."""
        shown = ""

        def reached() -> object:
            nonlocal shown
            shown = self.shown()
            return condition(shown)

        wait_until(reached, lambda: words(shown), lambda: f"shown:\n{shown}", every=0.1)
        return shown


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """The server; ended afterwards with what runs in it."""
    server = Tmux(tmp_path / "t.sock")
    yield server
    server.run("kill-server")


def reviews(built: Built) -> int:
    """How many decisions are stored."""
    return int(built.writer.execute("SELECT count(*) FROM reviews").fetchone()[0])


def at_place(place: int, shown: str) -> bool:
    """Whether the reflection at that place of the sample is shown, without a decision."""
    return re.search(rf"^ *{place} of \d+ +○ not reviewed", shown, re.MULTILINE) is not None


def attach_and_detach(tmux: Tmux) -> None:
    """A terminal attaches, sees the screen, and detaches; the application doesn't notice."""
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
        # The count goes up at once, the next reflection is shown when it was read: only then is a key meant for it.
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

    # A smaller terminal that comes back later gets a smaller screen.
    tmux.run("resize-window", "-t", "evo", "-x", "80", "-y", "24")
    shown = tmux.until(lambda shown: len(shown.rstrip("\n").splitlines()) == 24 and "GATE" in shown)
    assert all(len(line) <= 80 for line in shown.splitlines())
    tmux.press("q")
    wait_until(lambda: "evo" not in tmux.run("list-sessions"), describe=lambda: "it did not leave", every=0.1)
