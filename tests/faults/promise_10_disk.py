"""Promise 10: a full disk, a read-only database, and SQLite errors at every write site.

The engine pauses with a reason that names the fault, corrupts nothing, and resumes automatically when it clears, to the
rows of an undisturbed run. Errors come from `injected/` (each write site gets BUSY, IOERR, FULL and READONLY when its
transaction begins and when it commits), and from real faults: a small tmpfs that fills up, a limit on the size of
files, and another writer that locks the database.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from engine.supervisor.child_processes import tagged_processes
from reflectevo_tui.engine_client.process import EngineUnavailable
from store.control.liveness import engine_state
from store.database.connection import open_reader, open_writer
from tests.faults.results import Result
from tests.faults.scenes import Scene, straight

QUIZ = {"train": 16, "test": 6}
KINDS = ("BUSY", "IOERR", "FULL", "READONLY")


def run(n: int, seed: int, real: tuple[str, ...] = ("full disk", "file limit", "locked")) -> Result:
    """Run at least `n` injected errors (each site gets eight), and each real fault."""
    with tempfile.TemporaryDirectory(prefix="reflectevo-faults-") as directory:
        wanted = straight(Path(directory) / "straight", **QUIZ)
        sites, met, same, words = injected(Path(directory), wanted)
        notes = [words] if words else []
        kept = 0
        for name in real:
            trouble = REAL[name](Path(directory) / name.replace(" ", "-"), wanted)
            kept += not trouble
            notes.append(f"{name}: {trouble or 'named, waited out, equal rows'}")
    reached = (met if same else 0) + kept
    required = max(n, 8 * sites) + len(real)
    detail = f"{sites} write sites × 4 errors × begin and commit, {met} met; {'; '.join(notes)}."
    return Result(10, "disk and database faults waited out", required, reached, reached >= required, detail)


def injected(root: Path, wanted: dict[str, object], kinds: Sequence[str] = KINDS) -> tuple[int, int, bool, str]:
    """Complete a run in which every write site gets every error of the given kinds.

    Returns:
        The numbers of sites and errors, whether the outcome is right, and the deviations.
    """
    account = root / "account"
    account.mkdir()
    plan: dict[str, object] = {"refuse": str(account), "kinds": list(kinds), "only": ["serve", "child"], "hurry": True}
    one = Scene(root / "injected", **QUIZ)
    try:
        _start_under(one, plan)
        for _ in range(20):
            one.go_on()
            if one.until(lambda: one.iteration_state() in ("done", "failed")) and one.iteration_state() == "done":
                break
        met = sorted(path.name for path in account.iterdir())
        sites = {name.rsplit(" ", 2)[0] for name in met}
        failed = [text for (text,) in one.rows("SELECT text FROM events WHERE level = 'error'")]
        outcome = one.outcome()
        different = [name for name, value in outcome.items() if value != wanted[name]]
        same = not different and one.intact() and not failed
        words = f"other {', '.join(different)}" if different else f"a stage failed: {failed[0]}" if failed else ""
        return len(sites), len(met), same, words
    finally:
        one.shut_down()


def _start_under(one: Scene, plan: dict[str, object]) -> None:
    """Start the engine although its first writes fail: each refusal has to name the fault."""
    for _ in range(100):
        try:
            one.start_with(plan)
            return
        except EngineUnavailable as error:
            if "can't be written" not in str(error):
                raise
    raise AssertionError("the engine never started")


def _held(one: Scene) -> str:
    """Return the fault that the engine reports: its state, its log, or the reason of the iteration; else empty."""
    with closing(open_reader(one.workspace.database)) as connection:
        trouble = engine_state(connection, one.workspace.lock_file).trouble
    logs = [path.read_text(errors="replace") for path in one.workspace.logs.glob("*.log")]
    said = [line for log in logs for line in log.splitlines() if "can't be written" in line]
    iteration = one.status()["iteration"]
    return trouble or (said[-1] if said else "") or (iteration["reason"] if iteration else "")


def _through(one: Scene, wanted: dict[str, object], begin: Callable[[], object], clear: Callable[[], object]) -> str:
    """Complete a run with a fault in its middle; return what went wrong, else an empty string."""
    one.start(0.05)
    one.run()
    one.wait(lambda: one.stage("reflect").get("done", 0) > 4, every=0.01)
    engine = one.engine_pid()
    begin()
    named = one.until(lambda: _held(one))
    time.sleep(1.0)
    # The stages continue where they need no disk; they must not fail.
    failed = one.iteration_state() == "failed"
    clear()
    if failed:
        return "a stage failed instead of waiting"
    if not named:
        return "it was never named"
    if not one.until(lambda: one.iteration_state() in ("done", "failed")):
        return f"it did not go on: {one.status()['iteration']}"
    if one.engine_pid() != engine:
        return "the engine ended"
    if one.iteration_state() == "failed":
        return f"a stage failed: {one.status()['iteration']['reason']}"
    if not one.intact():
        return "the database is damaged"
    different = [name for name, value in one.outcome().items() if value != wanted[name]]
    return f"other {', '.join(different)} than without it" if different else ""


@contextmanager
def small_disk(place: Path, size: str = "24m") -> Iterator[Path]:
    """Mount a separate file system of a few megabytes. Raises OSError where it can't be mounted."""
    place.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        raise OSError(f"a tmpfs can't be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def _full_disk(root: Path, wanted: dict[str, object]) -> str:
    if os.geteuid() != 0:
        return "needs root to mount a tmpfs (the file limit stands for it)"
    with small_disk(root) as place:
        one = Scene(place, **QUIZ)
        filler = place / "filler"

        def fill() -> None:
            try:
                with filler.open("wb", buffering=0) as file:
                    while True:
                        file.write(b"\0" * 4096)
            except OSError:
                return

        try:
            return _through(one, wanted, fill, filler.unlink)
        finally:
            filler.unlink(missing_ok=True)
            one.shut_down()


def _file_limit(root: Path, wanted: dict[str, object]) -> str:
    """Limit the size of files: no process of the engine may enlarge a file; SQLite sees an I/O error."""
    one = Scene(root, **QUIZ)

    def limit(size: int) -> None:
        for pid in [one.engine_pid(), *tagged_processes(one.workspace)]:
            if pid is not None:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    try:
        return _through(one, wanted, lambda: limit(4096), lambda: limit(resource.RLIM_INFINITY))
    finally:
        one.shut_down()


def _locked(root: Path, wanted: dict[str, object]) -> str:
    """Hold a transaction in another process for longer than any timeout."""
    one = Scene(root, **QUIZ)
    other = open_writer(one.workspace.database)

    try:
        return _through(one, wanted, lambda: other.execute("BEGIN IMMEDIATE"), lambda: other.execute("ROLLBACK"))
    finally:
        if other.in_transaction:
            other.execute("ROLLBACK")
        other.close()
        one.shut_down()


def can_mount(place: Path) -> bool:
    """Check whether a file system can be mounted here."""
    try:
        with small_disk(place):
            return True
    except OSError:
        return False


REAL: dict[str, Callable[[Path, dict[str, object]], str]] = {
    "full disk": _full_disk,
    "file limit": _file_limit,
    "locked": _locked,
}
