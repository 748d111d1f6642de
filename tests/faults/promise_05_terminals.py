"""Promise 5: a hang-up, a SIGKILL and a stalled terminal change nothing for the engine's throughput.

Measured within one run: the scripted generator takes a fixed time for each text, so that the engine's pace is a
cycle: all slots are filled once. The length of a cycle with a terminal that watches is compared with the length after
each thing that can happen to the terminal.
"""

from __future__ import annotations

import signal
import statistics
import time

from tests.faults.results import Result
from tests.faults.scenes import Scene, scene
from tests.faults.terminals import Terminal, terminal

ALLOWED = 0.01
SLOTS = 32
TEXT_SECONDS = 1.0


def run(n: int, seed: int, window: float = 20.0, stall: float = 60.0) -> Result:
    """`n` things that happen to a terminal, out of hang-up, SIGKILL and stall in turn."""
    happenings = [("hang-up", signal.SIGHUP), ("SIGKILL", signal.SIGKILL), ("stall", None)] * n
    with scene(train=4000, test=2) as one:
        settings = one.workspace.settings_file.read_text().replace("concurrency = 8", f"concurrency = {SLOTS}")
        one.workspace.settings_file.write_text(settings)
        one.start(TEXT_SECONDS)
        one.run()
        one.wait(lambda: one.stage("attempt").get("done", 0) > SLOTS, 60)
        kept, figures = 0, []
        for what, number in happenings[:n]:
            change, alive = _change(one, number, window, stall if number is None else window)
            kept += alive and abs(change) < ALLOWED
            figures.append(f"{what} {100 * change:+.2f} %")
    detail = f"Change of the engine's cycle: {', '.join(figures)} (less than {100 * ALLOWED:.0f} % allowed)."
    return Result(5, "an SSH drop changes nothing for the engine", n, kept, kept == n, detail)


def _change(one: Scene, number: signal.Signals | None, before: float, after: float) -> tuple[float, bool]:
    """How much longer (share) a cycle is after something happened, and whether the engine is still the same."""
    engine = one.engine_pid()
    with terminal(one.workspace.root) as watched:
        watched.read(3.0)
        begun = time.time()
        _read_for(watched, before)
        between = time.time()
        if number is None:
            # Nobody reads: the pty fills up, and the program blocks in its write.
            time.sleep(after)
        else:
            watched.end(number)
            time.sleep(after)
        ended = time.time()
    with_terminal, without = _cycle(one, begun, between), _cycle(one, between, ended)
    return without / with_terminal - 1, one.engine_pid() == engine


def _read_for(watched: Terminal, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        watched.read(0.5)


def _cycle(one: Scene, begin: float, end: float) -> float:
    """Mean seconds in which as many texts are stored as there are slots, between two moments."""
    stored = [
        row[0]
        for row in one.rows(
            "SELECT created FROM (SELECT created FROM attempts UNION ALL SELECT created FROM reflections)"
            f" WHERE created BETWEEN {begin} AND {end} ORDER BY 1"
        )
    ]
    return statistics.mean(later - sooner for sooner, later in zip(stored, stored[SLOTS:], strict=False))
