"""The supervisor: one lightweight process per workspace that applies directives and controls the worker process.

In each turn it applies new directives, checks its worker, takes the next step (`next_step`) and renews its heartbeat.
It keeps no state that a restart would lose: all of it is in the database.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress

from engine.errors import log_error
from engine.evaluation.held_out_questions import lacks_dev_questions
from engine.evaluation.stored_results import describe_measured, evaluated_policies, to_measure
from engine.rollout.load_plan import settings_of
from engine.stages.job import DONE, HELD, STOPPED, Job, JobKind
from engine.supervisor.capabilities import publish
from engine.supervisor.child_environment import needed_secrets
from engine.supervisor.child_processes import Child, end_orphans, start_child
from engine.supervisor.directives import apply_directive
from engine.supervisor.finished_stages import mark_finished_rollouts, signal_name
from engine.supervisor.gate_notes import describe_gate
from engine.supervisor.hardware import readings
from engine.supervisor.lineage import apply_rule, close_evaluation, current_policy
from engine.supervisor.next_step import Close, Decide, Rest, Start, Wait, next_step
from engine.supervisor.watchdog import Patience, ProgressWatch
from engine.training.example_counts import refuse_few_rows
from store.control import directives, telemetry
from store.database.connection import checkpoint, open_writer, write
from store.database.outage import disk_trouble
from store.evaluation.number_format import counted
from store.records import GateName, Iteration, StageName
from store.runs import iterations
from store.runs.iterations import ACTIVE
from store.runs.progress import progress_mark
from store.runs.runs import get_run, set_run_state
from store.settings import RunSettings
from store.workspace import Workspace

_TURN_SECONDS = 0.1
_BEAT_SECONDS = 1.0
_HELD_SECONDS = 1.0
_HELD_PREFIX = "held: "
_RESTARTS = 2
"""How often a worker that hung or was killed from outside is restarted before its stage fails."""

_PREPARE_SHARE = 8
"""Factor on the stall limit of the preparing worker, which may download a model."""


class Supervisor:
    """Runs a workspace until it is shut down.

    Args:
        workspace: the workspace, whose lock this process holds.
        connection: a durable writer.
        note: called with the reason when the database can't be written, and with an empty text once it can again.
    """

    def __init__(self, workspace: Workspace, connection: sqlite3.Connection, note: Callable[[str], None]) -> None:
        self._workspace = workspace
        self._connection = connection
        self._note = note
        # A heartbeat each second doesn't justify a flush to disk.
        self._gauges = open_writer(workspace.database)
        self._child: Child | None = None
        self._child_stages: tuple[StageName, ...] = ()
        self._started = time.time()
        self._last_beat = 0.0
        self._leaving = False
        self._crashes: dict[tuple[int | None, JobKind], int] = {}
        self._progress = ProgressWatch()
        self._patience = Patience()
        self._stall_seconds = 0.0
        self._held: str | None = None

    def prepare(self) -> None:
        """End orphaned processes, clear old heartbeats and publish the capabilities; the engine is READY afterwards."""
        ended = end_orphans(self._workspace)
        with write(self._connection):
            for slot in telemetry.heartbeats(self._connection):
                telemetry.end_heartbeat(self._connection, slot)
            telemetry.put_live_text(self._connection, [])
            left = f"; ended {counted(ended, 'process', 'processes')} left by an earlier engine" if ended else ""
            telemetry.add_event(self._connection, "info", "engine", f"engine started (pid {os.getpid()}){left}")
        publish(self._connection)
        self._beat(force=True)

    def run(self) -> None:
        """Run turns until shut down. While the disk or database can't be written, report it and keep trying."""
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, self._on_term)
        while True:
            try:
                self._turn()
                if self._leaving and self._child is None:
                    break
                self._report_resumed()
            except sqlite3.OperationalError as error:
                self._report_unwritable(error)
                time.sleep(_HELD_SECONDS)
            time.sleep(_TURN_SECONDS)
        # Everything is on disk already; failing to write the last event is no reason to fail.
        with suppress(sqlite3.OperationalError):
            with write(self._connection):
                telemetry.add_event(self._connection, "info", "engine", "engine ended")
                telemetry.end_heartbeat(self._connection, "engine")
            self._gauges.close()
            checkpoint(self._connection)

    def _report_unwritable(self, error: sqlite3.OperationalError) -> None:
        """Report a disk or database that can't be written, as far as possible; re-raise any other error."""
        reason = disk_trouble(error)
        if reason is None:
            raise error
        self._progress.excuse()
        if reason != self._held:
            log_error(reason)
            self._note(reason)
        self._held = reason

    def _report_resumed(self) -> None:
        """Report that work has resumed, if the previous turn couldn't write."""
        if self._held is not None:
            with write(self._connection):
                telemetry.add_event(self._connection, "warning", "engine", f"resumed after a failure: {self._held}")
            self._note("")
            self._held = None

    def _on_term(self, *_: object) -> None:
        self._leaving = True

    def _turn(self) -> None:
        self._apply_directives()
        iteration = iterations.current_iteration(self._connection)
        if self._child is not None:
            self._watch(self._child, iteration)
        elif iteration is not None and not self._leaving:
            self._advance(iteration)
        self._beat()

    def _apply_directives(self) -> None:
        for directive in directives.pending(self._connection):
            with write(self._connection):
                accepted = apply_directive(self._connection, directive)
            if accepted and directive.kind == "shut_down":
                self._leaving = True
            if accepted and directive.kind == "save_now" and self._child is not None:
                self._child.command("save")

    def _watch(self, child: Child, iteration: Iteration | None) -> None:
        """Bring the running worker in line with the desired state, and record its end."""
        mine = iteration is not None and iteration.id == child.job.iteration_id
        if self._leaving or not mine or (iteration is not None and iteration.control == "stop"):
            child.ask_stop()
        elif iteration is not None:
            child.set_paused(iteration.control == "pause")
        child.escalate()
        code = child.exit_code()
        if code is None:
            if child.job.stages and iteration is not None:
                mark_finished_rollouts(self._connection, iteration.id)
            self._look_for_progress(child)
            return
        self._ended(child, code)
        # Closed last: if recording its end fails, the next turn tries again.
        child.close()
        self._child = None
        checkpoint(self._connection)

    def _look_for_progress(self, child: Child) -> None:
        """Report and stop a worker that makes no progress without a reason."""
        if child.paused or child.stop_asked is not None or not self._stall_seconds:
            self._progress.excuse()
            return
        assert child.job.iteration_id is not None
        silent = self._progress.silent_for(progress_mark(self._connection, child.job.iteration_id), time.monotonic())
        if silent > self._stall_seconds:
            words = f"the {child.job.slot} process (pid {child.pid}) made no progress for {silent:.0f} s and was ended"
            with write(self._connection):
                telemetry.add_event(self._connection, "error", "engine", words, child.job.iteration_id)
            child.end_hung()

    def _ended(self, child: Child, code: int) -> None:
        failure = child.failure()
        end_orphans(self._workspace)
        job = child.job
        assert job.iteration_id is not None
        with write(self._connection):
            telemetry.end_heartbeat(self._connection, job.slot)
            telemetry.put_live_text(self._connection, [])
        key = (job.iteration_id, job.kind)
        tries = self._crashes.get(key, 0)
        silent = "hung" if child.hung else f"ended unexpectedly ({signal_name(code)})"
        if code == DONE:
            self._complete(child)
            self._crashes.pop(key, None)
            self._patience.forget()
        elif code == HELD:
            self._postpone(child, failure or "the disk or the database can't be written")
        elif not child.hung and (code == STOPPED or child.stop_asked is not None):
            self._back_to_pending("stopped", child)
        elif (child.hung or failure is None) and tries < _RESTARTS:
            words = f"the {job.slot} process {silent}; it is being restarted"
            with write(self._connection):
                telemetry.add_event(self._connection, "warning", "engine", words, job.iteration_id)
            self._back_to_pending("crashed", child)
            self._crashes[key] = tries + 1
        else:
            log = self._workspace.child_log(job.slot)
            words = f"the {job.slot} process {silent}; see {log}"
            self._fail(job, self._child_stages, words if child.hung else failure or words)

    def _postpone(self, child: Child, reason: str) -> None:
        """Postpone a job that a disk or database prevented; it is retried without limit."""
        job = child.job
        assert job.iteration_id is not None
        words = f"{_HELD_PREFIX}{job.slot}: {reason}"
        if iterations.get_iteration(self._connection, job.iteration_id).reason != words:
            with write(self._connection):
                iterations.update_iteration(self._connection, job.iteration_id, reason=words)
                telemetry.add_event(self._connection, "warning", "engine", words, job.iteration_id)
        self._back_to_pending("held", child)
        self._patience.held(time.monotonic())

    def _complete(self, child: Child) -> None:
        job = child.job
        assert job.iteration_id is not None
        iteration = iterations.get_iteration(self._connection, job.iteration_id)
        with write(self._connection):
            if iteration.reason.startswith(_HELD_PREFIX):
                iterations.update_iteration(self._connection, iteration.id, reason="")
            if job.kind == "prepare":
                parent = current_policy(self._connection, job.run_id)
                assert parent is not None
                iterations.update_iteration(self._connection, iteration.id, parent_id=iteration.parent_id or parent.id)
            for name in self._child_stages:
                if name == "evaluate" and to_measure(iteration) - evaluated_policies(self._connection, iteration):
                    continue
                iterations.set_stage(self._connection, iteration.id, name, "done")

    def _back_to_pending(self, why: str, child: Child) -> None:
        job = child.job
        assert job.iteration_id is not None
        with write(self._connection):
            for name in self._child_stages:
                stages = {stage.name: stage for stage in iterations.stages(self._connection, job.iteration_id)}
                if stages[name].state == "running":
                    iterations.set_stage(self._connection, job.iteration_id, name, "pending")
            iteration = iterations.get_iteration(self._connection, job.iteration_id)
            if iteration.control == "stop":
                iterations.update_iteration(self._connection, iteration.id, state="stopped", reason=why)

    def _fail(self, job: Job, stages: tuple[StageName, ...], message: str) -> None:
        assert job.iteration_id is not None
        with write(self._connection):
            if job.kind == "prepare" and get_run(self._connection, job.run_id).state != "ready":
                set_run_state(self._connection, job.run_id, "failed", message)
            for stage in iterations.stages(self._connection, job.iteration_id):
                if stage.name in stages and stage.state != "done":
                    iterations.set_stage(self._connection, job.iteration_id, stage.name, "failed", message)
            iterations.update_iteration(self._connection, job.iteration_id, state="failed", reason=message)
            telemetry.add_event(self._connection, "error", job.slot, message, job.iteration_id)

    def _advance(self, iteration: Iteration) -> None:
        """Take the next step of an iteration."""
        if iteration.control == "stop":
            if iteration.state in ACTIVE or iteration.state == "failed":
                with write(self._connection):
                    iterations.update_iteration(self._connection, iteration.id, state="stopped")
            return
        if iteration.state not in ("running", "waiting"):
            return
        run = get_run(self._connection, iteration.run_id)
        stages = iterations.stages(self._connection, iteration.id)
        settings = settings_of(iteration)
        measured: set[int] = set()
        if iteration.state == "running" and run.state == "ready":
            measured = evaluated_policies(self._connection, iteration)
        lacking = run.state == "ready" and lacks_dev_questions(self._connection, iteration, settings)
        step = next_step(run, iteration, stages, settings, measured, lacks_questions=lacking)
        if isinstance(step, Rest):
            return
        if isinstance(step, Wait):
            if iteration.state != "waiting":
                self._open_gate(iteration, step.gate)
        elif isinstance(step, Decide):
            if iteration.state == "waiting":
                return
            if not apply_rule(self._connection, iteration, settings):
                # Also without a configured gate: the questions can't tell, so an operator has to.
                self._open_gate(iteration, "promote")
        elif isinstance(step, Close):
            measured_words = describe_measured(self._connection, iteration)
            with write(self._connection):
                close_evaluation(self._connection, iteration, measured_words)
        else:
            self._start(iteration, step, settings)

    def _open_gate(self, iteration: Iteration, gate: GateName) -> None:
        note = describe_gate(self._connection, iteration, gate, self._workspace)
        with write(self._connection):
            if gate == "promote":
                iterations.update_iteration(self._connection, iteration.id, state="waiting", reason=note)
            else:
                iterations.set_stage(self._connection, iteration.id, gate, "waiting")
                iterations.set_note(self._connection, iteration.id, gate, note)
                iterations.update_iteration(
                    self._connection, iteration.id, state="waiting", reason=f"gate {gate}: {note}"
                )
            telemetry.add_event(self._connection, "info", "engine", f"waiting at gate {gate}: {note}", iteration.id)

    def _start(self, iteration: Iteration, step: Start, settings: RunSettings) -> None:
        if not self._patience.over(time.monotonic()):
            return
        if step.job.kind == "train":
            refusal = refuse_few_rows(self._connection, iteration, settings)
            if refusal is not None:
                self._fail(step.job, step.stages, refusal)
                return
        # The rows come first: a stage that can't be recorded is not started.
        with write(self._connection):
            for name in step.stages:
                iterations.set_stage(self._connection, iteration.id, name, "running")
            if iteration.state != "running":
                iterations.update_iteration(self._connection, iteration.id, state="running")
        try:
            child = start_child(self._workspace, step.job, needed_secrets(settings, step.job.kind))
        except OSError as error:
            self._fail(step.job, step.stages, f"can't start a process for {step.job.kind}: {error}")
            return
        self._child, self._child_stages = child, step.stages
        self._progress.excuse()
        self._stall_seconds = 60 * settings.stall_minutes * (_PREPARE_SHARE if step.job.kind == "prepare" else 1)

    def _beat(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._last_beat < _BEAT_SECONDS:
            return
        self._last_beat = now
        state = "working" if self._child is not None else "idle"
        detail = {**readings(self._workspace.root), "child": self._child.job.slot if self._child else None}
        with write(self._gauges):
            telemetry.beat(self._gauges, "engine", os.getpid(), self._started, state, detail)
