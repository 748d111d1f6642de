"""Runs hostile programs in one tier of the sandbox, as the user it was started as, and reports their outcomes.

A process of its own, so that it can be started as an ordinary user with another Python and a copy of the package. It
plays the part of the engine: its environment, memory, command line and listeners are the targets of the programs.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from engine.tasks.sandbox import Limits, SandboxUnavailable, probing, runner
from engine.tasks.sandbox.interpreter import interpreter
from engine.tasks.sandbox.runner import run

SECRET = "c0ffee-"

PRELUDE = """
import ctypes, errno, os, signal, sys, time
C = {context!r}
N = {numbers!r}
_libc = ctypes.CDLL(None, use_errno=True)
def raw(call, *arguments):
    number = N[call] if isinstance(call, str) else call
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    answer = _libc.syscall(ctypes.c_long(number), *arguments)
    if answer < 0:
        raise OSError(ctypes.get_errno(), str(call))
    return answer
def attempt(what, work):
    try:
        result = work()
    except (OSError, ValueError, MemoryError, RuntimeError, SyntaxError) as error:
        print("held:", what, type(error).__name__, flush=True)
    else:
        print("ESCAPED:", what, repr(result)[:100], flush=True)
"""


def main() -> None:
    """Read {tier, tag, programs: {name: {source, stdin, limits}}} from stdin; print the outcome of each program."""
    todo = json.load(sys.stdin)
    runner.TAG = todo["tag"]
    secret = os.environ["REFLECTEVO_TEST_SECRET"]
    kept = bytearray(f"{SECRET}{secret}", "ascii")
    address = (_address(kept), len(kept))
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with tempfile.TemporaryDirectory(prefix="reflectevo-home-") as home, socket.socket() as tcp:
        canary = Path(home, ".ssh", "id_ed25519")
        canary.parent.mkdir(mode=0o700)
        canary.write_text(secret)
        tcp.bind(("127.0.0.1", 0))
        tcp.listen(64)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        abstract = f"\0reflectevo-{os.getpid()}"
        unix, datagrams = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        unix.bind(abstract)
        unix.listen(64)
        datagrams.bind(f"{abstract}-d")
        context = {
            "home": home,
            "canary": str(canary),
            "python": [str(path) for path in visible()],
            "engine": os.getpid(),
            "victim": victim.pid,
            "address": address,
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "abstract": abstract,
        }
        before = _state(victim.pid), _state(os.getpid()), _state(canary)
        prelude = PRELUDE.format(context=context, numbers=todo["numbers"])
        with ThreadPoolExecutor(4) as threads:
            jobs = {
                name: threads.submit(_run, todo["tier"], prelude + one["source"], one)
                for name, one in todo["programs"].items()
            }
        outcomes = {name: job.result() for name, job in jobs.items()}
        contacts = [
            what for what, one in (("tcp", tcp), ("udp", udp), ("unix", unix), ("unix", datagrams)) if _waits(one)
        ]
        after = _state(victim.pid), _state(os.getpid()), _state(canary)
        made = sorted(str(path) for path in Path(home).rglob("*"))
        alive = victim.poll() is None
    victim.kill()
    report = {
        "outcomes": outcomes,
        "contacts": contacts,
        "untouched": before == after,
        "made": made,
        "victim_lives": alive,
        "probe": [dataclasses.asdict(one) for one in probing.probe()],
        "user": os.geteuid(),
    }
    json.dump(report, sys.stdout)


def _run(tier: str, source: str, one: dict[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    try:
        outcome = run(tier, source, stdin=one["stdin"].encode(), limits=Limits(**one["limits"])).outcome  # type: ignore[arg-type]
    except SandboxUnavailable as error:
        return {"state": "unavailable", "reason": str(error)}
    found = dataclasses.asdict(outcome)
    for stream in ("stdout", "stderr"):
        found[stream] = base64.b64encode(found[stream]).decode()
    return found | {"took": time.monotonic() - started}


def visible() -> list[Path]:
    """Return the paths that a program may find: Python, its libraries and links, and a few other files and devices."""
    python = interpreter()
    links = [Path(link) for link, _ in python.links]
    beside = [Path(f"/{name}") for name in ("etc/ld.so.cache", "usr/share/zoneinfo", "tmp")]
    devices = [Path(f"/dev/{name}") for name in ("null", "zero", "random", "urandom")]
    return [python.executable, *python.libraries, *python.objects, *links, *beside, *devices]


def _address(kept: bytearray) -> int:
    import ctypes

    return ctypes.addressof((ctypes.c_char * len(kept)).from_buffer(kept))


def _state(what: int | Path) -> tuple[object, ...]:
    """Return the state of a process or a file that a program could have changed."""
    if isinstance(what, Path):
        found = what.stat()
        return found.st_mode, found.st_mtime_ns, found.st_size, what.read_text(), tuple(os.listxattr(what))
    return os.getpriority(os.PRIO_PROCESS, what), tuple(os.sched_getaffinity(what))


def _waits(one: socket.socket) -> bool:
    """Check whether any program connected to a listener."""
    one.setblocking(False)
    try:
        one.accept() if one.type == socket.SOCK_STREAM else one.recv(10)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    main()
