"""The two tiers of the sandbox: the command line that starts each, and the restrictions applied inside the process.

`bubblewrap` runs a program in separate namespaces that contain nothing of the machine but Python. `landlock` runs it in
the machine's namespaces, where Landlock and the system-call filter deny access. Independent of how a run is watched.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine.tasks.sandbox import landlock, seccomp
from engine.tasks.sandbox.interpreter import Interpreter, interpreter
from engine.tasks.sandbox.records import Limits, SandboxUnavailable, TierName

TIERS: tuple[TierName, ...] = ("bubblewrap", "landlock")
"""Best first."""

NOBODY = "65534"
OPEN_FILES = 64

_READ_TOO = tuple(Path(name) for name in ("/etc/ld.so.cache", "/usr/share/zoneinfo"))
_DEVICES = tuple(Path(name) for name in ("/dev/zero", "/dev/urandom", "/dev/random"))
_NULL = Path("/dev/null")
# Strings have the same hash, and sets the same order, in every run, so that verdicts are reproducible.
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}
_BOOT = (
    "import sys,marshal;_,job,result,_=sys.argv[1:];"
    "code,job=marshal.loads(open(int(job),'rb').read());"
    "inside={'__name__':'inside'};exec(code,inside);inside['main'](job,int(result))"
)


@dataclass(frozen=True, slots=True)
class Start:
    """The command of a sandbox and the restrictions that the process inside applies to itself."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    confinement: Mapping[str, object]
    """The part of the job that `inside.confine` reads."""
    child_told: bool
    """Whether the started process is not the program itself but reports the program's id on `status_fd`."""


def start(tier: TierName, limits: Limits, tag: str, job_fd: int, result_fd: int, status_fd: int) -> Start:
    """Build the command of a tier.

    Args:
        tier: the tier to start.
        limits: the limits of the program.
        tag: a part of the command line by which a leftover process can be found.
        job_fd: file descriptor of the job.
        result_fd: file descriptor that the program's report is written to.
        status_fd: file descriptor that bubblewrap writes the program's id to.

    Raises:
        SandboxUnavailable: if a requirement of the tier is missing on this machine.
    """
    machine = seccomp.processor()
    if machine is None:
        raise SandboxUnavailable(f"the sandbox has no system-call filter for {os.uname().machine} processors")
    python = interpreter()
    inner = [str(python.executable), "-s", "-S", "-P", "-B", "-X", "utf8", "-c", _BOOT, tag]
    inner += [str(job_fd), str(result_fd), "-"]
    shared = {"limits": _rlimits(limits), "own_pid": seccomp.OWN_PID}
    if tier == "bubblewrap":
        confinement = shared | {"filter": _filter(machine, True), "landlock": None, "parent": None}
        command = (_bubblewrap(), *_room(limits), *_view(python), "--info-fd", str(status_fd), "--", *inner)
        return Start(command, {}, confinement, True)
    abi = landlock.version()
    if abi == 0:
        raise SandboxUnavailable("the kernel has no Landlock, or it is switched off")
    truncation = abi >= landlock.TRUNCATION_FROM
    rules = (landlock.attributes(abi), _rules(python, abi))
    confinement = shared | {"filter": _filter(machine, truncation), "landlock": rules, "parent": os.getpid()}
    return Start(tuple(inner), _ENVIRONMENT, confinement, False)


_filter = cache(lambda machine, truncation: seccomp.build(machine, truncation=truncation))


def _bubblewrap() -> str:
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxUnavailable("bubblewrap is not installed")
    return found


def _rlimits(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("RLIMIT_CPU", math.ceil(limits.cpu_seconds)),
        ("RLIMIT_AS", limits.memory_bytes),
        ("RLIMIT_FSIZE", limits.tmpfs_bytes),
        ("RLIMIT_NOFILE", OPEN_FILES),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_MEMLOCK", 0),
        ("RLIMIT_MSGQUEUE", 0),
        ("RLIMIT_SIGPENDING", OPEN_FILES),
    ]


def _room(limits: Limits) -> tuple[str, ...]:
    """Return the options for /tmp, the only writable directory, which come first in case Python is installed in it."""
    return ("--size", str(limits.tmpfs_bytes), "--tmpfs", "/tmp")


@cache
def _view(python: Interpreter) -> tuple[str, ...]:
    """Return the options of bubblewrap for separate namespaces that contain no files but Python's."""
    options = ["--unshare-user", "--unshare-all", "--as-pid-1", "--die-with-parent", "--new-session"]
    options += ["--cap-drop", "ALL", "--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox"]
    for path in (python.executable, *python.libraries, *python.objects, *_existing(_READ_TOO)):
        options += ["--ro-bind", str(path), str(path)]
    for link, target in python.links:
        options += ["--symlink", target, link]
    for path in (_NULL, *_existing(_DEVICES)):
        options += ["--dev-bind", str(path), str(path)]
    for path in python.foreign:
        options += ["--size", "4096", "--tmpfs", str(path), "--remount-ro", str(path)]
    for name, value in _ENVIRONMENT.items():
        options += ["--setenv", name, value]
    # The root is a tmpfs on which the mount points are created, so it is remounted read-only last.
    return (*options, "--remount-ro", "/", "--chdir", "/tmp")


@cache
def _rules(python: Interpreter, abi: int) -> list[tuple[str, int]]:
    """Return Landlock's rules for the same files. A rule covers a complete folder, so the entries of library folders
    are listed one by one, without the foreign packages."""
    library = [
        entry
        for path in python.libraries
        for entry in (path.iterdir() if path.is_dir() else (path,))
        if entry not in python.foreign and entry.exists()
    ]
    paths = (python.executable, *library, *python.objects, *_existing((*_READ_TOO, *_DEVICES)))
    return [*landlock.readable(paths), landlock.discarding(_NULL, abi)]


def _existing(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(path for path in paths if path.exists())
