"""Runs the engine as a separate process: starts it detached, and runs its one-shot commands.

The TUI never imports the engine; all communication crosses a process boundary.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from reflectevo_tui.engine_client.stall import StallDetector
from store.control.liveness import lock_owner
from store.errors import OperatorError
from store.workspace import Workspace, private_opener

READY_SECONDS = 60.0
"""Seconds without CPU time after which a starting engine counts as stalled; models load later, in workers."""

_TURN_SECONDS = 0.5
"""Poll interval, in seconds, while waiting for a process."""


class EngineUnavailable(OperatorError):
    """Raised when the engine can't be started or a command of it fails; the message gives the reason and the fix."""


@dataclass(frozen=True, slots=True)
class StartedEngine:
    """An engine that reported READY. `already` is True when it was running before."""

    pid: int
    already: bool
    log: str


def engine_command(*arguments: str) -> list[str]:
    """Return the command line of the engine in the current Python environment.

    `-P` keeps the working directory off the module path, so that a file `engine.py` or a folder `store/` there is
    never imported.
    """
    return [sys.executable, "-P", "-m", "engine", *arguments]


def start_engine(workspace: Workspace) -> StartedEngine:
    """Start the engine of a workspace detached from this terminal; return once it is READY.

    Raises:
        EngineUnavailable: when it refuses, exits, or stalls without reporting.
    """
    owner = lock_owner(workspace.lock_file)
    log = workspace.engine_log
    if owner is not None:
        return StartedEngine(owner, True, str(log))
    readable, writable = os.pipe()
    try:
        process = _spawn(workspace, writable)
    except OSError as error:
        os.close(readable)
        raise EngineUnavailable(
            f"the engine can't be started ({error.strerror}); its log is {log}: check the owner of that directory and "
            "the free space, then try again"
        ) from error
    finally:
        os.close(writable)
    try:
        answer = _read_answer(readable, StallDetector(process.pid, READY_SECONDS))
    finally:
        os.close(readable)
    if answer == "READY":
        return StartedEngine(process.pid, False, str(log))
    if not answer and process.poll() is not None:
        answer = "it ended without an error message"
    elif not answer:
        answer = f"it has done nothing for {READY_SECONDS:.0f} s"
    raise EngineUnavailable(f"the engine did not start: {answer.removeprefix('ERROR ')}\nIts log: {log}")


def _spawn(workspace: Workspace, ready_descriptor: int) -> subprocess.Popen[bytes]:
    workspace.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(workspace.engine_log, "ab", opener=private_opener) as log_file:
        return subprocess.Popen(
            engine_command("serve", "-w", str(workspace.root), "--ready-fd", str(ready_descriptor)),
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            pass_fds=(ready_descriptor,),
            start_new_session=True,
            cwd="/",
        )


def _read_answer(descriptor: int, engine: StallDetector) -> str:
    """Read the output of a starting engine on its readiness pipe, up to the end of the pipe or until it stalls."""
    received = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while b"\0" not in received:
            if not selector.select(_TURN_SECONDS):
                if engine.stalled():
                    break
                continue
            piece = os.read(descriptor, 4096)
            if not piece:
                break
            received += piece
    return received.rstrip(b"\0").decode("utf-8", "replace").strip()


def ask_engine(*arguments: str, seconds: float | None = 120.0) -> Any:
    """Run a one-shot command of the engine and return the JSON it prints.

    Args:
        arguments: the command and its arguments.
        seconds: time without CPU use, of the process and its children, after which it is ended; None for no limit.

    Raises:
        EngineUnavailable: with the engine's error message when it fails.
    """
    try:
        finished = _finished(engine_command(*arguments), seconds)
    except OSError as error:
        raise EngineUnavailable(f"the engine can't be started ({error.strerror}): {sys.executable}") from error
    if finished.returncode:
        words = finished.stderr.strip() or finished.stdout.strip() or f"exit code {finished.returncode}"
        raise EngineUnavailable(words)
    try:
        return json.loads(finished.stdout)
    except ValueError as error:
        raise EngineUnavailable(f"the engine answered {arguments[0]} with something that is not JSON") from error


def _finished(command: list[str], seconds: float | None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return its output; end it when it stalls for `seconds`."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, errors="replace"
    ) as process:
        stall = StallDetector(process.pid, seconds) if seconds is not None else None
        try:
            while True:
                try:
                    printed, said = process.communicate(timeout=_TURN_SECONDS)
                    return subprocess.CompletedProcess(command, process.returncode, printed, said)
                except subprocess.TimeoutExpired:
                    if stall is not None and stall.stalled():
                        raise EngineUnavailable(
                            f"the engine gave no answer and has done nothing for {seconds:.0f} s"
                        ) from None
        except BaseException:
            process.kill()
            raise


def prompt_of(workspace: Workspace, kind: str, row_id: int) -> dict[str, Any]:
    """Render the prompt of an attempt or a reflection again from its inputs, exactly as it was sent.

    Returns:
        `messages` (role and content), `version`, `hash` and `matches`: whether the stored hash is the same.

    Raises:
        EngineUnavailable: when it can't be rendered.
    """
    answer = ask_engine("prompt", "-w", str(workspace.root), f"--{kind}", str(row_id))
    if not isinstance(answer, dict):
        raise EngineUnavailable("the engine answered with something that is not a prompt")
    return answer
