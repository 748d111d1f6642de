"""Injects faults into a real process of the engine; Python imports it automatically because its directory is on the
path.

`REFLECTEVO_FAULTS` holds a JSON object:

- `kill`: end this process by SIGKILL at the n-th event of a kind: `{"at": "file", "match": part of a path}` counts file
operations (open, mkdir, rename), `{"at": "sql", "match": regular expression}` counts statements.
  `only` names the command (`child`, `serve`, `init`) it applies to. It happens once: `marker` is created first.
- `refuse`: a directory. Each place that writes to the database gets each SQLite error in `kinds` once when its
transaction begins and once when it commits; the directory
records which were raised. `only` as above.
- `hurry`: the engine waits a twentieth of a second where it would wait seconds for the fault to clear.

No code of the project refers to this file.
"""

import json
import os
import re
import signal
import sqlite3
import sys
from pathlib import Path

_KINDS = {
    "BUSY": (sqlite3.SQLITE_BUSY, "database is locked"),
    "IOERR": (sqlite3.SQLITE_IOERR, "disk I/O error"),
    "FULL": (sqlite3.SQLITE_FULL, "database or disk is full"),
    "READONLY": (sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
}
_WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER)", re.IGNORECASE)


def _command() -> str:
    # The interpreter has not set sys.argv yet.
    words = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    return next((word.decode() for word in words if word in (b"child", b"serve", b"init")), "")


class _Killer:
    """Kills this process at the n-th matching event."""

    def __init__(self, plan: dict[str, object]) -> None:
        self.at, self.match = str(plan["at"]), re.compile(str(plan["match"]))
        self.left, self.marker = int(str(plan["n"])), str(plan["marker"])

    def see(self, what: str) -> None:
        if not self.match.search(what):
            return
        self.left -= 1
        if self.left:
            return
        try:
            os.close(os.open(self.marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def _watch_files(killer: _Killer) -> None:
    def hook(event: str, given: tuple[object, ...]) -> None:
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir") and given:
            path = given[0]
            if isinstance(path, str | bytes | os.PathLike) and os.fspath(path) != killer.marker:
                killer.see(os.fsdecode(path))

    sys.addaudithook(hook)


def _site() -> str:
    """Return the function of the project that attempted the write."""
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        name = f"{Path(path).parent.name}/{Path(path).name}:{frame.f_code.co_qualname}"
        ours = "/engine/" in path or "/store/" in path or "/reflectevo_tui/" in path
        if ours and not path.endswith("store/database/connection.py"):
            return name
        frame = frame.f_back
    return "elsewhere"


def _connection(killer: _Killer | None, refuse: Path | None, kinds: list[str]) -> type[sqlite3.Connection]:
    class Faulty(sqlite3.Connection):
        """A connection whose writes raise the injected errors."""

        def execute(self, sql: str, *given: object) -> sqlite3.Cursor:
            if killer is not None:
                killer.see(sql)
            if refuse is not None:
                self._meet(sql)
            return super().execute(sql, *given)

        def executemany(self, sql: str, *given: object) -> sqlite3.Cursor:
            if killer is not None:
                killer.see(sql)
            return super().executemany(sql, *given)

        def _meet(self, sql: str) -> None:
            begins = sql.startswith("BEGIN IMMEDIATE") or (not self.in_transaction and bool(_WRITES.match(sql)))
            if not begins and not sql.startswith("COMMIT"):
                return
            site = _site()
            for kind in kinds:
                code, words = _KINDS[kind]
                account = refuse / f"{site.replace('/', '|')} {'begin' if begins else 'commit'} {kind}"
                try:
                    os.close(os.open(account, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    continue
                error = sqlite3.OperationalError(words)
                error.sqlite_errorcode, error.sqlite_errorname = code, f"SQLITE_{kind}"
                raise error

    return Faulty


def _install() -> None:
    plan = json.loads(os.environ["REFLECTEVO_FAULTS"])
    if plan.get("only") and _command() not in plan["only"]:
        return
    killer = _Killer(plan["kill"]) if plan.get("kill") else None
    if killer is not None and killer.at == "file":
        _watch_files(killer)
        killer = None
    refuse = Path(plan["refuse"]) if plan.get("refuse") else None
    if killer is None and refuse is None:
        return
    connect, kind = sqlite3.connect, _connection(killer, refuse, plan.get("kinds") or list(_KINDS))

    def faulty(*given: object, **named: object) -> sqlite3.Connection:
        return connect(*given, **{**named, "factory": kind})

    sqlite3.connect = faulty
    if plan.get("hurry"):
        _hurry()


def _hurry() -> None:
    from engine.rollout import store_writer, telemetry_thread
    from engine.supervisor import watchdog

    telemetry_thread._EVERY_SECONDS = 0.02
    store_writer._RETRY_SECONDS = watchdog._FIRST_PAUSE = watchdog._LONGEST_PAUSE = 0.05
    if _command() == "serve":
        from engine.supervisor import supervisor

        supervisor._HELD_SECONDS = 0.05


if os.environ.get("REFLECTEVO_FAULTS"):
    _install()
