"""Start-up times with their parts: the command line, the first frame of the terminal, the engine until it is READY,
and a demo from its run to the first finished trajectory.

The time of the libraries alone is the baseline, measured in turns: a command line of one option, and an empty
terminal application.

The demo isn't run again: the times come from its own records. `make demo` leaves them in demo-workspace;
REFLECTEVO_BENCH_DEMO=DIR names another workspace. No row has a target, because machines and caches differ too much.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from engine.commands.init import init_workspace
from reflectevo_tui.engine_client.directives import issue_and_wait
from reflectevo_tui.engine_client.process import start_engine
from store.control.liveness import lock_owner
from store.database.connection import open_reader
from store.rollouts.attempts import rollout_attempts
from store.rollouts.trajectories import TrajectoryFilter, page
from store.rollouts.trajectory_detail import detail
from store.runs.iterations import list_iterations, stages
from store.runs.runs import list_runs
from store.workspace import Workspace
from tests.bench.measure import Row
from tests.bench.pseudo_terminal import PseudoTerminal
from tests.bench.stores import demo_store, kept_stores
from tests.bench.terminal_hands import Hands

ROWS = 46_000
TIMES = 7
_PROGRAM = Path(sys.executable).with_name("reflectevo")
_DEMO = Path(__file__).parents[2] / "demo-workspace"
_EMPTY_COMMAND = """
import typer
app = typer.Typer(rich_markup_mode=None)
@app.command()
def empty(option: int = 0): ...
app()
"""
_EMPTY_APPLICATION = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("nothing on it")
Empty().run()
"""


def measure() -> list[Row]:
    """Return one row for each start-up time, and the parts of the demo."""
    helped = [
        (_command(str(_PROGRAM), "--help"), _command(sys.executable, "-c", _EMPTY_COMMAND, "--help"))
        for _ in range(TIMES)
    ]
    with kept_stores() as directory:
        workspace = demo_store(directory, ROWS)
        frames = [(_frame(workspace), _empty_frame()) for _ in range(TIMES)]
    rows = [
        _row("python -c pass", [_command(sys.executable, "-c", "pass") for _ in range(TIMES)]),
        _beside("reflectevo --help / a command of one option", helped),
        _beside(f"terminal, first full frame, {ROWS:,} trajectories / an empty Textual application", frames),
    ]
    rows.append(_row("engine until it is READY", [_ready() for _ in range(TIMES)]))
    demo = Workspace(Path(os.environ.get("REFLECTEVO_BENCH_DEMO", _DEMO)))
    if demo.database.exists():
        rows += _parts_of(demo)
    else:
        print(f"no demo to read: {demo.root} is no workspace (make demo makes one)", file=sys.stderr)
    return rows


def _row(what: str, seconds: list[float]) -> Row:
    return Row(what, f"{1000 * statistics.median(seconds):,.0f} ms (n = {len(seconds)})")


def _beside(what: str, seconds: list[tuple[float, float]]) -> Row:
    """Return a row of pairs: our time, and that of the library alone."""
    ours, alone = (statistics.median(times) for times in zip(*seconds, strict=True))
    told = f"{1000 * ours:,.0f} ms (n = {len(seconds)})"
    return Row(what, told, f"{1000 * alone:,.0f} ms", ours / alone)


def _command(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _frame(workspace: Workspace) -> float:
    """Return the seconds until the Monitor shows the newest trajectory."""
    command = [str(_PROGRAM), "-w", str(workspace.root)]
    with PseudoTerminal(command, {"SSH_CONNECTION": "bench", "COLORTERM": ""}) as terminal:
        return Hands(terminal).see_monitor(ROWS) - terminal.started


def _empty_frame() -> float:
    """Return the seconds until an application with a single word has shown it."""
    with PseudoTerminal([sys.executable, "-c", _EMPTY_APPLICATION]) as terminal:
        return terminal.until(lambda seen: "nothing on it" in seen) - terminal.started


def _ready() -> float:
    with tempfile.TemporaryDirectory() as directory:
        workspace = Workspace(Path(directory) / "workspace")
        init_workspace(workspace, "demo-cpu", None, replace=False)
        started = time.perf_counter()
        start_engine(workspace)
        taken = time.perf_counter() - started
        issue_and_wait(workspace, "shut_down", {}, start=False)
        _until_over(workspace)
        return taken


def _until_over(workspace: Workspace, seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if lock_owner(workspace.lock_file) is None:
            return
        time.sleep(0.05)
    raise RuntimeError(f"the engine of {workspace.root} did not end")


def _parts_of(demo: Workspace) -> list[Row]:
    """Return rows for the parts of the time from the start of a run to its first finished trajectory."""
    with closing(open_reader(demo.database)) as connection:
        run = list_runs(connection)[0]
        iteration = list_iterations(connection, run.id)[0]
        rolled = stages(connection, iteration.id)[0]
        attempts = rollout_attempts(connection, iteration.id)
        first = page(connection, TrajectoryFilter(iteration=iteration.id), limit=1)
        if rolled.started is None or not attempts or not first:
            print(f"the demo in {demo.root} has no finished trajectory yet", file=sys.stderr)
            return []
        whole = detail(connection, first[0].id)
        assert whole is not None
        finished = (whole.correction or whole.attempt).created
    asked = min(one.created - one.latency for one in attempts)
    parts = {
        "model converted, questions chosen": iteration.created - run.created,
        "rollout process started": rolled.started - iteration.created,
        "generator loaded": asked - rolled.started,
        "first trajectory generated, judged, stored": finished - asked,
    }
    total = Row("demo, from the start of its run to the first trajectory", f"{finished - run.created:.1f} s")
    return [total, *(Row(f"  {what}", f"{seconds:.1f} s") for what, seconds in parts.items())]
