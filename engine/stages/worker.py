"""Entry point of a worker process: ends with its supervisor, receives its commands, reports the reason of a failure.

Knows the pipes to the supervisor and the heartbeat, but not what the individual stages do.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from engine.errors import EngineError
from engine.models.remote_code import trust, trusted_directories
from engine.stages.context import Commands, Pulse, StageContext
from engine.stages.job import DONE, FAILED, HELD, STOPPED, Job, JobKind
from store.database.connection import open_writer
from store.database.outage import disk_trouble
from store.errors import OperatorError
from store.runs.runs import get_run
from store.settings import RunSettings
from store.workspace import Workspace

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Request that the kernel end this process when its supervisor dies, even by SIGKILL."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # The supervisor died before the request took effect.
        os._exit(FAILED)


Stage = Callable[[StageContext], bool]
"""Runs a job; returns True when no work is outstanding, False when it was stopped before."""


def run_child(workspace_root: Path, job_text: str, parent: int, report_descriptor: int) -> int:
    """Run one job and return the exit code.

    Errors meant for operators are reported to the supervisor as one message. Any other error is a bug: it is reported
    by name, and its traceback is in the worker's log.
    """
    die_with(parent)
    job = Job.load(job_text)
    workspace = Workspace(workspace_root)
    commands = Commands()
    commands.listen()
    try:
        connection = open_writer(workspace.database)
        pulse = Pulse(workspace.database, job.slot)
        settings = RunSettings.model_validate(get_run(connection, job.run_id).settings)
        trust(trusted_directories(connection, workspace, job.run_id, settings))
        complete = _stage(job.kind)(StageContext(workspace, job, connection, commands, pulse))
        pulse.end()
    except Exception as error:
        # However the error is wrapped: a full disk is no failure, the work resumes once there is space.
        held = disk_trouble(error)
        if held is not None:
            _report(report_descriptor, held)
            return HELD
        if isinstance(error, OperatorError):
            _report(report_descriptor, str(error))
            return FAILED
        _report(report_descriptor, f"{type(error).__name__}: {error} (details in {workspace.child_log(job.slot)})")
        raise
    return DONE if complete else STOPPED


def _stage(kind: JobKind) -> Stage:
    # Imported here because each stage needs its own libraries; a worker loads those of one stage only.
    if kind == "prepare":
        from engine.stages.prepare import prepare

        return prepare
    if kind == "generate":
        from engine.stages.generate import generate

        return generate
    if kind == "curate":
        from engine.stages.curate import curate

        return curate
    if kind == "train":
        from engine.stages.train import train

        return train
    raise EngineError(f"there is no stage process for {kind!r}")


def _report(descriptor: int, message: str) -> None:
    os.write(descriptor, (json.dumps({"failed": message}) + "\n").encode())
