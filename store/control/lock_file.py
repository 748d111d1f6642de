"""The content of the lock file, which identifies the engine that holds a workspace.

A pid alone is not enough, because pids are reused. Together with the start time of the process and the boot of the
machine it identifies one process uniquely.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

NOTE_BYTES = 2048
"""Size of the lock file in bytes, allocated when the lock is acquired, so that it can be written on a full disk."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The engine described in a lock file. `started` is in seconds since 1970, `ticks` in clock ticks since boot."""

    pid: int
    started: float
    boot: str
    ticks: int
    trouble: str = ""
    """The reason why it can't write to the database, empty when it can."""


def boot_id() -> str:
    """Return the id of the machine's current boot, empty if unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_ticks(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot; None when there is no such process."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def process_state(pid: int) -> str:
    """Return the state letter of a process as in `ps` (`R`, `S`, `D`, `T`, `Z`); empty when it doesn't exist."""
    fields = _stat(pid)
    return fields[0] if fields else ""


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the command, which may itself contain blanks and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def describe_myself(trouble: str = "") -> bytes:
    """Return what the calling process writes into its lock file; always `NOTE_BYTES` long."""
    mine = {"pid": os.getpid(), "boot": boot_id(), "ticks": process_ticks(os.getpid())}
    text = json.dumps({**mine, "started": _STARTED, "trouble": trouble[:400]})
    return text.encode()[: NOTE_BYTES - 1].ljust(NOTE_BYTES)


_STARTED = time.time()


def verified_holder(lock_file: Path, pid: int) -> Holder | None:
    """Read the lock file if process `pid` is still the one that wrote it; None when that can't be verified.

    The start of the process and the boot of the machine must agree, because pids are used again.
    """
    written = read_holder(lock_file)
    if written is None or written.pid != pid:
        return None
    return written if (written.boot, written.ticks) == (boot_id(), process_ticks(pid)) else None


def read_holder(lock_file: Path) -> Holder | None:
    """Read the lock file; None when it is missing or can't be parsed.

    Never call this in the process that holds the lock: closing the file would release it.
    """
    try:
        values = json.loads(lock_file.read_text(encoding="utf-8", errors="replace"))
        return Holder(
            int(values["pid"]), float(values["started"]), str(values["boot"]), int(values["ticks"]), values["trouble"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
