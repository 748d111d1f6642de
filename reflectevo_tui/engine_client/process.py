"""Runs the engine as a process of its own: starts it detached, and asks it one-shot questions.

The terminal never imports the engine; everything passes through a process boundary.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from store.control.liveness import lock_owner
from store.errors import OperatorError
from store.workspace import Workspace, private_opener

READY_SECONDS = 60.0
"""How long a starting engine may take until it says READY; models load later, in children."""


class EngineUnavailable(OperatorError):
    """The engine can't be started or asked; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class StartedEngine:
    """An engine that answered READY. `already` is True when it ran before."""

    pid: int
    already: bool
    log: str


def engine_command(*arguments: str) -> list[str]:
    """Command line of the engine in this very environment.

    `-P` keeps the caller's directory off the module path: a file `engine.py` or a folder `store/` there is never run.
    """
    return [sys.executable, "-P", "-m", "engine", *arguments]


def start_engine(workspace: Workspace) -> StartedEngine:
    """Start the engine of a workspace detached from this terminal; returns once it is READY.

    Raises:
        EngineUnavailable: when it says no, dies, or doesn't answer in time.
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
        answer = _read_answer(readable, READY_SECONDS)
    finally:
        os.close(readable)
    if answer == "READY":
        return StartedEngine(process.pid, False, str(log))
    if not answer:
        answer = (
            "it ended without an error message" if process.poll() is not None else f"no answer in {READY_SECONDS:.0f} s"
        )
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


def _read_answer(descriptor: int, seconds: float) -> str:
    """What the starting engine writes to its readiness pipe, up to the end of the pipe or the time."""
    received = b""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while b"\0" not in received:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                break
            piece = os.read(descriptor, 4096)
            if not piece:
                break
            received += piece
    return received.rstrip(b"\0").decode("utf-8", "replace").strip()


def ask_engine(*arguments: str, seconds: float | None = 120.0) -> Any:
    """Run a one-shot command of the engine and return the JSON it prints. `seconds` None waits as long as it takes.

    Raises:
        EngineUnavailable: with the engine's own words when it fails.
    """
    try:
        finished = subprocess.run(
            engine_command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineUnavailable(f"the engine gave no answer in {seconds:.0f} s") from error
    except OSError as error:
        raise EngineUnavailable(f"the engine can't be started ({error.strerror}): {sys.executable}") from error
    if finished.returncode:
        words = finished.stderr.strip() or finished.stdout.strip() or f"exit code {finished.returncode}"
        raise EngineUnavailable(words)
    try:
        return json.loads(finished.stdout)
    except ValueError as error:
        raise EngineUnavailable(f"the engine answered {arguments[0]} with something that is not JSON") from error


def prompt_of(workspace: Workspace, kind: str, row_id: int) -> dict[str, Any]:
    """The prompt of an attempt or a reflection exactly as it was sent, rendered again from its inputs.

    Returns:
        `messages` (role and content), `version`, `hash` and `matches`: whether the stored hash is the same.

    Raises:
        EngineUnavailable: when it can't be rendered.
    """
    answer = ask_engine("prompt", "-w", str(workspace.root), f"--{kind}", str(row_id))
    if not isinstance(answer, dict):
        raise EngineUnavailable("the engine answered with something that is not a prompt")
    return answer
