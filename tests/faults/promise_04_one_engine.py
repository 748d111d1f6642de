"""Promise 4: of two engines started together exactly one wins, and the other reports which one holds the workspace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections import Counter

from reflectevo_tui.engine_client.process import engine_command
from tests.faults.results import Result
from tests.faults.scenes import Scene, scene


def run(n: int, seed: int) -> Result:
    """Run races of two engines."""
    held = 0
    troubles: Counter[str] = Counter()
    with scene(train=8, test=2) as one:
        for _ in range(n):
            trouble = _race(one)
            held += not trouble
            troubles.update([trouble] if trouble else [])
    detail = f"First trouble: {troubles.most_common(1)[0][0]}" if troubles else "The other named the winner's pid."
    return Result(4, "two engines at once: one wins, the other says who", n, held, held == n, detail)


def _race(one: Scene) -> str:
    """Start two engines at the same moment; return what went wrong, else an empty string."""
    racers = [_start(one) for _ in range(2)]
    answers = {}
    try:
        for process, readable in racers:
            with os.fdopen(readable, "rb") as pipe:
                answers[process.pid] = pipe.read().rstrip(b"\0").decode()
        ready = [pid for pid, answer in answers.items() if answer == "READY"]
        if len(ready) != 1:
            return f"{len(ready)} engines were ready: {answers}"
        refused = next(answer for pid, answer in answers.items() if pid != ready[0])
        named = re.search(r"held by another engine \(pid (\d+)", refused)
        if named is None or int(named[1]) != ready[0]:
            return f"the other said: {refused}"
        if one.engine_pid() != ready[0]:
            return "the lock isn't the winner's"
        return ""
    finally:
        for process, _ in racers:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _start(one: Scene) -> tuple[subprocess.Popen[bytes], int]:
    readable, writable = os.pipe()
    process = subprocess.Popen(
        engine_command("serve", "-w", str(one.workspace.root), "--ready-fd", str(writable)),
        pass_fds=(writable,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(writable)
    return process, readable
