"""Promise 3: a new engine is READY within two seconds after a kill, and no process with the old one's tag remains.

vLLM's own processes are simulated by a tagged process in a POSIX session of its own that ignores every signal but
SIGKILL; the real ones are in `test_promises.py`, marked slow.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from engine.stages.job import TAG
from engine.supervisor.child_processes import tag_of, tagged_processes
from tests.faults.results import Result, percentile
from tests.faults.scenes import scene

READY_SECONDS = 2.0
_STUBBORN = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""


def run(n: int, seed: int) -> Result:
    """Run takeovers, each with a busy rollout process and an orphan of another POSIX session."""
    took: list[float] = []
    clean = 0
    troubles: list[str] = []
    with scene(train=400, test=2) as one:
        one.start(0.2)
        one.run()
        for number in range(n):
            one.until(lambda: tagged_processes(one.workspace))
            orphan = subprocess.Popen(
                [sys.executable, "-c", _STUBBORN],
                env={**os.environ, TAG: tag_of(one.workspace)},
                start_new_session=True,
                stdout=subprocess.PIPE,
            )
            assert orphan.stdout is not None
            orphan.stdout.readline()
            before = set(tagged_processes(one.workspace))
            one.crash()
            started = time.monotonic()
            one.start(0.2)
            took.append(time.monotonic() - started)
            left = before & set(tagged_processes(one.workspace))
            if left or orphan.poll() is None:
                troubles.append(f"takeover {number + 1} left {sorted(left)}")
                orphan.kill()
            elif took[-1] <= READY_SECONDS:
                clean += 1
            orphan.wait()
            orphan.stdout.close()
    figures = (
        f"READY after {percentile(took, 0.5):.2f} s (median), {max(took):.2f} s (longest), "
        f"at most {READY_SECONDS:.0f} s allowed"
    )
    trouble = f"; {troubles[0]}" if troubles else "; no orphan left"
    return Result(3, "takeover until READY, orphans ended", n, clean, clean == n, figures + trouble + ".")
