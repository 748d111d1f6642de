"""Promise 5: a hang-up, a SIGKILL and a stalled terminal do not change the engine's throughput.

Measured within one run: the scripted generator takes a fixed time for each text, so that the engine's pace is a
cycle: all slots are filled once. The length of a cycle with a connected terminal is compared with the length after each
kind of fault of the terminal.
"""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.results import Result
from tests.faults.scenes import Scene, scene
from tests.faults.terminals import Terminal, terminal

ALLOWED = 0.01
_HAPPENINGS = (("hang-up", signal.SIGHUP), ("SIGKILL", signal.SIGKILL), ("stall", None))


@dataclass(frozen=True, slots=True)
class Observed:
    """One fault of a terminal and its effect on the engine. `change` is the relative increase of the cycle length."""

    name: str
    change: float
    same_engine: bool
    stored_after: int


def run(n: int, seed: int) -> Result:
    """Run `n` faults of a terminal: hang-up, SIGKILL and a stall of a minute in turn."""
    seen = list(observe(n, window=40.0, stall=60.0, slots=32, text_seconds=1.0))
    kept = sum(one.same_engine and abs(one.change) < ALLOWED for one in seen)
    figures = ", ".join(f"{one.name} {100 * one.change:+.2f} %" for one in seen)
    detail = f"Change of the engine's cycle: {figures} (less than {100 * ALLOWED:.0f} % allowed)."
    return Result(5, "an SSH drop changes nothing for the engine", n, kept, kept == n, detail)


def observe(
    n: int, *, window: float, stall: float, slots: int, text_seconds: float, settle: float = 3.0
) -> Iterator[Observed]:
    """Cause `n` faults of terminals during one run.

    Args:
        n: number of faults.
        window: seconds measured before each fault, and after a hang-up or a kill.
        stall: seconds for which nobody reads from the terminal.
        slots: texts generated concurrently.
        text_seconds: seconds for each text.
        settle: seconds for the program to start.
    """
    with scene(train=4000, test=2) as one:
        text = one.workspace.settings_file.read_text().replace("concurrency = 8", f"concurrency = {slots}")
        one.workspace.settings_file.write_text(text)
        one.start(text_seconds)
        one.run()
        one.wait(lambda: one.stage("attempt").get("done", 0) > slots)
        for number in range(n):
            name, sent = _HAPPENINGS[number % len(_HAPPENINGS)]
            yield _happen(one, name, sent, (settle, window, stall if sent is None else window), slots)


def _happen(
    one: Scene, name: str, sent: signal.Signals | None, times: tuple[float, float, float], slots: int
) -> Observed:
    settle, before, after = times
    engine = one.engine_pid()
    with terminal(one.workspace.root) as watched:
        _read_for(watched, settle)
        begun = time.time()
        _read_for(watched, before)
        between = time.time()
        if sent is not None:
            watched.end(sent)
        # After a stall nobody reads any more: the pty fills up, and the program blocks in its write.
        time.sleep(after)
        ended = time.time()
    first, second = _stored(one, begun, between), _stored(one, between, ended)
    change = _cycle(second, slots) / _cycle(first, slots) - 1
    return Observed(name, change, engine is not None and one.engine_pid() == engine, len(second))


def _read_for(watched: Terminal, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        watched.read(0.5)


def _stored(one: Scene, begin: float, end: float) -> list[float]:
    """Return the times at which texts were stored, between two moments."""
    query = "SELECT created FROM (SELECT created FROM attempts UNION ALL SELECT created FROM reflections)"
    return [row[0] for row in one.rows(f"{query} WHERE created BETWEEN {begin} AND {end} ORDER BY 1")]


def _cycle(stored: list[float], slots: int) -> float:
    """Return the mean seconds in which as many texts are stored as there are slots."""
    return statistics.mean(later - sooner for sooner, later in zip(stored, stored[slots:], strict=False))
