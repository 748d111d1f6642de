"""Starts one program in one sandbox and parses its report. Independent of tests and verdicts."""

from __future__ import annotations

import contextlib
import fcntl
import marshal
import os
import re
import secrets
import subprocess
from collections.abc import Sequence
from functools import cache
from io import FileIO
from pathlib import Path
from types import CodeType
from typing import Literal, cast

from engine.tasks.sandbox.records import Limits, Outcome, Record, Report, SandboxUnavailable, Step, TierName
from engine.tasks.sandbox.resource_limits import Ended, Watch
from engine.tasks.sandbox.tiers import start

TAG = "reflectevo-sandbox"
"""Part of the command line of every process started here, so that leftover processes can be found."""

LONGEST_VALUE = 32 * 2**10
"""Maximum number of characters of a value's literal; longer ones are reported as `other`."""

_LOADED, _SET_UP = -2, -1
_PLACE = re.compile(r"-?[0-9]{1,6}")
"""The number of a step, written by a process that shares its memory with the program: nothing else is converted."""
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def run(
    tier: TierName,
    source: str,
    *,
    limits: Limits,
    stdin: bytes = b"",
    setup: str = "",
    steps: Sequence[Step] | None = None,
) -> Report:
    """Run a program in a tier, either as a script or with steps that run after it has been loaded.

    Blocks for at most one second longer than `limits.wall_seconds`.

    Args:
        tier: the tier to use.
        source: the program.
        limits: the limits of the complete run.
        stdin: standard input of the program.
        setup: code that runs in the program's module before the steps.
        steps: the steps to run; None runs the program as a script.

    Raises:
        SandboxUnavailable: if the sandbox can't be started; nothing of the program has run in this case.
    """
    nonce = secrets.token_hex(16)
    with contextlib.ExitStack() as stack:
        result, result_inside = _pipe(stack)
        status, status_inside = _pipe(stack)
        job, given = _memory_file(stack, "job"), _memory_file(stack, "stdin")
        tag = f"{TAG}:{secrets.token_hex(4)}"
        begun = start(tier, limits, tag, job.fileno(), result_inside.fileno(), status_inside.fileno())
        todo = {
            **begun.confinement,
            "nonce": nonce.encode(),
            "source": source,
            "setup": setup,
            "longest": LONGEST_VALUE,
            "steps": None if steps is None else [(step.kind, step.code) for step in steps],
        }
        _fill(job, marshal.dumps((_inside(), todo)))
        _fill(given, stdin)
        passed = [job, result_inside, *([status_inside] if begun.child_told else [])]
        try:
            process = subprocess.Popen(
                begun.command,
                env=begun.environment,
                bufsize=0,
                cwd="/",
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[file.fileno() for file in passed],
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxUnavailable(f"the sandbox can't be started: {error}") from error
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            stack.callback(pipe.close)
        result_inside.close()
        status_inside.close()
        most = LONGEST_VALUE * (len(steps or ()) + 2)
        watch = Watch(process, limits, child_told=begun.child_told, result=result, status=status, most_result=most)
        ended = watch.until_end()
    return _report(tier, ended, nonce, 0 if steps is None else len(steps))


def _pipe(stack: contextlib.ExitStack) -> tuple[FileIO, FileIO]:
    reading, writing = os.pipe()
    return stack.enter_context(FileIO(reading, "rb")), stack.enter_context(FileIO(writing, "wb"))


def _memory_file(stack: contextlib.ExitStack, name: str) -> FileIO:
    return stack.enter_context(FileIO(os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb+"))


def _fill(file: FileIO, content: bytes) -> None:
    """Write the content, rewind and seal the file, so that the program can neither change it nor store data in it."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]
    file.seek(0)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)


@cache
def _inside() -> CodeType:
    """Compile the entry point inside the sandbox once; both sides run the same version of Python."""
    path = Path(__file__).with_name("confined_program.py")
    return compile(path.read_text(encoding="utf-8"), "confined_program.py", "exec", dont_inherit=True)


def _report(tier: TierName, ended: Ended, nonce: str, steps: int) -> Report:
    found: dict[tuple[str, int], str] = {}
    records: dict[int, Record] = {}
    for line in ended.result.decode("utf-8", "replace").split("\n"):
        mark, _, rest = line.partition(" ")
        kind, _, rest = rest.partition(" ")
        place, _, text = rest.partition(" ")
        if mark != nonce or not _PLACE.fullmatch(place):
            continue
        if kind in ("value", "other", "ran", "raised"):
            records.setdefault(int(place), Record(cast(Literal["value"], kind), text))
        else:
            found.setdefault((kind, 0), text)
    if ("confined", 0) not in found:
        said = found.get(("refused", 0)) or ended.stderr.decode("utf-8", "replace").strip()[-500:]
        raise SandboxUnavailable(f"the {tier} sandbox did not start: {said or ended.reason or ended.exit_code}")
    state, reason = ended.state, ended.reason
    if ("memory", 0) in found and state in ("finished", "killed"):
        state, reason = "memory", "out of memory"
    outcome = Outcome(state, ended.exit_code, ended.stdout, ended.stderr, ended.seconds, tier, reason)
    first = records.get(_LOADED)
    loaded = first if first is None or first.kind == "raised" else records.get(_SET_UP)
    return Report(outcome, loaded, tuple(records.get(place) for place in range(steps)))
