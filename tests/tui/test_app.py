"""Tests the application as a whole: switching, help, palette, detaching, and a store that can't be read."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import reflectevo_tui
from reflectevo_tui.app import EXIT_STORE_LOST, ReflectEvoApp
from reflectevo_tui.screens.dialogs.help import HelpDialog
from reflectevo_tui.state.poller import RateMeter
from reflectevo_tui.text.display import SanitisingFilter
from reflectevo_tui.text.glossary import GLOSSARY
from store.evaluation.protocols import overall_evaluations
from store.records import Evaluation, Stage
from store.workspace import Workspace
from tests.support.waiting import read_until, wait_until

ROOT = Path(reflectevo_tui.__file__).parent.parent
SIZES = [(160, 50), (80, 24)]


@pytest.mark.parametrize("size", SIZES)
async def test_number_keys_switch_and_help_fits_the_screen(build, until, screen_text, size) -> None:
    app = ReflectEvoApp(build(6).workspace)
    async with app.run_test(size=size) as pilot:
        for key, mode, own in (
            ("2", "trajectories", "unfilter"),
            ("4", "datasets", "tokens"),
            ("5", "lineage", "roll back"),
            ("6", "instructions", "trajectories"),
            ("7", "launch", "save and run"),
            ("8", "logs", "earlier error"),
            ("f3", "review", "accept"),
            ("f1", "monitor", "gate"),
        ):
            await pilot.press(key)
            await until(pilot, lambda mode=mode: app.current_mode == mode and "run demo" in screen_text(app))
            await pilot.press("question_mark")
            await until(pilot, lambda: isinstance(app.screen, HelpDialog))
            await pilot.pause(0.1)
            assert own in screen_text(app)
            await pilot.press("escape")


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_the_help_explains_the_terms(build, until, screen_text, size: tuple[int, int]) -> None:
    """The package is installed without docs/, so the terms must be readable inside the application."""
    app = ReflectEvoApp(build(6).workspace)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpDialog) and app.screen.query("#help-terms"))
        await pilot.press("t")
        for term in GLOSSARY:
            for _ in range(60):
                await pilot.pause(0.02)
                if f"  {term.name}  {term.meaning.split()[0]}" in screen_text(app):
                    break
                await pilot.press("down")
            else:
                pytest.fail(f"{term.name} can't be read")


async def test_a_click_on_a_tab_switches(build, until) -> None:
    app = ReflectEvoApp(build(6).workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.click("#tabs", offset=(15, 0))
        await until(pilot, lambda: app.current_mode == "trajectories")


async def test_the_palette_has_our_commands(build, until, screen_text) -> None:
    app = ReflectEvoApp(build(6).workspace)
    async with app.run_test(size=(80, 40)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "Bell: on" in screen_text(app))
        await pilot.press(*"shut")
        await until(pilot, lambda: "Shut the engine down" in screen_text(app))
        titles = [command.title for command in app.get_system_commands(app.screen)]
        wanted = {"Monitor", "Start the engine", "Save a checkpoint", "Retry failures", "Theme: light", "Detach"}
        assert wanted <= set(titles)


async def test_detaching_says_that_the_engine_goes_on(build, until, engine_lock) -> None:
    built = build(6)
    built.beat()
    engine_lock(built.workspace)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("q")
        await pilot.pause(0.1)
        assert app.return_code == 0
        assert "engine keeps running" in str(app._exit_renderables[0])


async def test_a_vanished_store_ends_with_one_message(build, until) -> None:
    built = build(6)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.snapshot)
        built.workspace.database.unlink()
        await until(pilot, lambda: app.return_code == EXIT_STORE_LOST)
        assert "was removed while it was open" in str(app._exit_renderables[0])


@pytest.mark.parametrize("damage", ["missing", "garbage", "newer", "foreign"])
async def test_a_store_that_is_not_ours_is_left_alone(tmp_path, until, damage) -> None:
    workspace = Workspace(tmp_path / "w").create()
    if damage == "garbage":
        workspace.database.write_bytes(b"[/b]" * 5000)
    elif damage in ("newer", "foreign"):
        connection = sqlite3.connect(workspace.database)
        connection.execute("CREATE TABLE t (x)")
        if damage == "newer":
            connection.execute("PRAGMA application_id = 0x52454658")
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    before = workspace.database.read_bytes() if workspace.database.exists() else None
    app = ReflectEvoApp(workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.return_code == EXIT_STORE_LOST)
        words = {
            "missing": "no database",
            "garbage": "was not changed",
            "newer": "newer version",
            "foreign": "another program",
        }
        assert words[damage] in str(app._exit_renderables[0])
    assert (workspace.database.read_bytes() if workspace.database.exists() else None) == before


async def test_the_last_net_is_in_place(empty) -> None:
    app = ReflectEvoApp(empty)
    assert any(isinstance(one, SanitisingFilter) for one in app.get_line_filters())


def run_in_terminal(code: str, **environment: str) -> tuple[int, int]:
    """Start Python on its own terminal; returns its pid and the terminal."""
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-c", code], {**os.environ, **environment})
    return pid, terminal


def test_a_hangup_ends_it_at_once_even_where_it_was_ignored(build) -> None:
    built = build(6)
    code = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from reflectevo_tui.terminal.environment import prepare_environment; prepare_environment()\n"
        "from pathlib import Path; from store.workspace import Workspace\n"
        "from reflectevo_tui.app import ReflectEvoApp\n"
        f"ReflectEvoApp(Workspace(Path({str(built.workspace.root)!r}))).run()"
    )
    pid, terminal = run_in_terminal(code, TERM="xterm-256color", LINES="3", COLUMNS="9")
    assert b"Iteration" in read_until(terminal, b"Iteration")
    os.close(terminal)
    status = 0

    def ended() -> bool:
        nonlocal status
        done, status = os.waitpid(pid, os.WNOHANG)
        return done == pid

    try:
        wait_until(ended, describe=lambda: "it outlived its terminal")
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGHUP


def test_ssh_gets_the_frugal_settings_unless_chosen() -> None:
    code = (
        "import os; from reflectevo_tui.terminal.environment import prepare_environment; prepare_environment()\n"
        "names = ('TEXTUAL_FPS', 'TEXTUAL_ANIMATIONS', 'TEXTUAL_SMOOTH_SCROLL', 'LINES')\n"
        "print([os.environ.get(name) for name in names], 'end')"
    )
    _, terminal = run_in_terminal(code, TERM="xterm", SSH_CONNECTION="x", TEXTUAL_ANIMATIONS="full", LINES="7")
    assert b"['15', 'full', '0', None]" in read_until(terminal, b"end")


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_show_screens_is_refused(term: str) -> None:
    code = (
        "from reflectevo_tui.terminal.environment import prepare_environment, TerminalRefused\n"
        "try: prepare_environment()\nexcept TerminalRefused as error: print(error, 'end')"
    )
    _, terminal = run_in_terminal(code, TERM=term)
    assert b"can't show full screens" in read_until(terminal, b"end")
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL
    )
    assert "this is not a terminal" in ran.stdout


def stage(done: int, state: str = "running", started: float = 0.0) -> Stage:
    """Return a stage with `done` finished items."""
    return Stage(1, 1, 0, "reflect", state, False, 1000, done, 1000 - done, "", started, None, None)


def test_rates_are_of_the_last_minute() -> None:
    meter = RateMeter()
    assert meter.rates((stage(100, started=90.0),), 100.0) == {"reflect": 10.0}, "over its whole life at first"
    assert meter.rates((stage(150),), 110.0) == {"reflect": 5.0}
    assert meter.rates((stage(20),), 201.0) == {}, "begun again: nothing is known"
    assert meter.rates((stage(20, "done"),), 202.0) == {}


def test_accuracies_of_different_protocols_are_not_mixed() -> None:
    both = {"acc_t1": {"value": 0.4}, "acc_t2": {"value": 0.5}}
    found = [
        Evaluation(n, n, 1, protocol, task, 10, both, 0.0)
        for n, (protocol, task) in enumerate(
            [("oracle/old", ""), ("oracle-free/x", ""), ("oracle/new", ""), ("oracle/new", "math"), ("oracle/new", "")]
        )
    ]
    assert [one.id for one in overall_evaluations(found, "oracle")] == [2, 4]
    # A later evaluation of one policy under another protocol must not empty the chart.
    found.append(Evaluation(9, 4, 1, "oracle/votes", "", 10, both, 0.0))
    assert [one.id for one in overall_evaluations(found, "oracle")] == [2, 4]
    assert overall_evaluations([], "oracle") == []
