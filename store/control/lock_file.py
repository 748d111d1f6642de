"""Who holds a workspace: what the engine wrote beside its lock, and whether a process is still the one that wrote it.

A pid alone means nothing, because pids are used again. Together with the start of the process and the boot of the
machine it names one process for good.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

NOTE_BYTES = 2048
"""Size of the lock file. It is allocated when the lock is taken, so that a full disk can still be named in it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """What an engine wrote into the lock file. `ticks` is the start of its process in clock ticks since boot."""

    pid: int
    started: float
    boot: str
    ticks: int
    trouble: str = ""
    """Why it can't write to the database, empty when it can."""


def boot_id() -> str:
    """Identity of this boot of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is none."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def process_state(pid: int) -> str:
    """Its state letter as in `ps` (`R`, `S`, `D`, `T`, `Z`), empty when there is none."""
    fields = _stat(pid)
    return fields[0] if fields else ""


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command, which may itself hold blanks and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def describe_myself(trouble: str = "") -> bytes:
    """What the calling process writes into its lock file, always of the same size."""
    mine = {"pid": os.getpid(), "boot": boot_id(), "ticks": process_ticks(os.getpid())}
    text = json.dumps({**mine, "started": _STARTED, "trouble": trouble[:400]})
    return text.encode()[: NOTE_BYTES - 1].ljust(NOTE_BYTES)


_STARTED = time.time()


def read_holder(lock_file: Path) -> Holder | None:
    """What the lock file says; None when it says nothing that can be read.

    Never call it in the process that holds the lock: closing the file would give the lock up.
    """
    try:
        values = json.loads(lock_file.read_text(encoding="utf-8", errors="replace"))
        return Holder(
            int(values["pid"]), float(values["started"]), str(values["boot"]), int(values["ticks"]), values["trouble"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
