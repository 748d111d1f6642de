"""Determines which tier works on this machine by running a trial program that tries to escape from it.

The result is cached per process. Independent of the programs that the sandbox is used for.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

from engine.tasks.sandbox.records import Limits, SandboxUnavailable, TierName, TierReport
from engine.tasks.sandbox.runner import run
from engine.tasks.sandbox.tiers import TIERS

_LIMITS = Limits(cpu_seconds=5.0, wall_seconds=20.0, memory_bytes=256 * 2**20)

_TRIAL = """
import os, sys
canary, outside = sys.stdin.read().split("\\n")
found = []
def attempt(what, work):
    try:
        work()
    except OSError:
        return
    found.append(what)
def connect():
    import _socket
    _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM, 0)
attempt("a file outside can be read", lambda: open(canary).read())
attempt("a file outside can be written", lambda: open(canary, "a").write("x"))
attempt("files can be made outside", lambda: open(outside, "w"))
attempt("processes can be started", os.fork)
attempt("sockets can be opened", connect)
attempt("signals reach other processes", lambda: os.kill(os.getppid() or 2, 0))
attempt("processes can be seen", lambda: os.listdir("/proc"))
if os.environ:
    found.append("the environment is not empty")
print("; ".join(found) or "confined")
"""

_FIXES = {
    "bubblewrap is not installed": "install bubblewrap: apt install bubblewrap, or dnf install bubblewrap",
    "no landlock": "use Linux 5.13 or newer, with landlock among the security modules (boot with lsm=landlock,…)",
    "namespace": (
        "allow user namespaces: sysctl user.max_user_namespaces=15000, kernel.unprivileged_userns_clone=1 (Debian) or "
        "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); in a container, start it with "
        "--security-opt seccomp=unconfined"
    ),
}

_lock = threading.Lock()
_known: list[tuple[TierReport, ...]] = []


def probe() -> tuple[TierReport, ...]:
    """Test every tier, best first, by running a program in it. Takes tenths of a second once, then is cached."""
    with _lock:
        if not _known:
            _known.append(tuple(_tried(tier) for tier in TIERS))
        return _known[0]


def working_tier() -> TierName:
    """Return the best tier that works. Raises SandboxUnavailable, with the reasons and possible fixes, if none does."""
    reports = probe()
    for report in reports:
        if report.works:
            return report.name
    wrong = "; ".join(f"{report.name}: {report.reason}" for report in reports)
    fixes = " or ".join(dict.fromkeys(report.fix for report in reports if report.fix))
    raise SandboxUnavailable(f"no sandbox works here, so the program was not run ({wrong}). {fixes}")


def _tried(tier: TierName) -> TierReport:
    with tempfile.TemporaryDirectory(prefix="reflectevo-probe-") as folder:
        canary = Path(folder, "canary")
        canary.write_text("canary", encoding="utf-8")
        stdin = f"{canary}\n{Path(folder, 'made')}".encode()
        try:
            outcome = run(tier, _TRIAL, stdin=stdin, limits=_LIMITS).outcome
        except SandboxUnavailable as error:
            return TierReport(tier, False, str(error), _fix(str(error)))
    said = outcome.stdout.decode("utf-8", "replace").strip()
    if outcome.state == "finished" and said == "confined":
        return TierReport(tier, True)
    reason = said or outcome.stderr.decode("utf-8", "replace").strip()[-300:] or outcome.reason
    return TierReport(tier, False, f"a trial program was not confined: {reason}", "")


def _fix(reason: str) -> str:
    lower = reason.lower()
    return next((fix for part, fix in _FIXES.items() if part in lower), "")
