"""The supervisor: one light process a workspace that obeys directives and makes child processes follow.

Each turn it applies new directives, looks at its child, asks `progression` what comes next, and renews its
heartbeat. It keeps no state of its own that a restart would miss: all of it is rows.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time

from engine.capabilities import publish
from engine.children import Child, start_child, sweep_orphans
from engine.errand import DONE, STOPPED, Errand
from engine.gate import describe_gate
from engine.hardware import readings
from engine.lineage import close_evaluation, close_iteration, current_policy
from engine.obey import obey
from engine.progression import Close, Decide, Rest, Start, Wait, next_step
from engine.promotion import decide
from engine.settled import compare_child, describe_measured, evaluated_policies, settle_rollouts, to_measure
from engine.situation import settings_of
from engine.starting import ACTIVE
from store import directives, iterations, telemetry
from store.connection import checkpoint, open_writer, write
from store.records import Iteration
from store.runs import get_run, set_run_state
from store.workspace import Workspace

_TURN_SECONDS = 0.1
_BEAT_SECONDS = 1.0
_RESTARTS = 2
"""How often a child that was killed from outside is started again before its stage fails."""


class Supervisor:
    """Runs a workspace until told to shut down.

    Args:
        workspace: the workspace, whose lock this process holds.
        connection: a durable writer.
    """

    def __init__(self, workspace: Workspace, connection: sqlite3.Connection) -> None:
        self._workspace = workspace
        self._connection = connection
        # A heartbeat each second is worth no flush to disk.
        self._gauges = open_writer(workspace.database)
        self._child: Child | None = None
        self._child_stages: tuple[str, ...] = ()
        self._started = time.time()
        self._last_beat = 0.0
        self._leaving = False
        self._crashes: dict[tuple[int | None, str], int] = {}

    def prepare(self) -> None:
        """Clear away what a former engine left and publish what this one can do; then it is READY."""
        ended = sweep_orphans(self._workspace)
        with write(self._connection):
            for slot in telemetry.heartbeats(self._connection):
                telemetry.end_heartbeat(self._connection, slot)
            telemetry.put_live_text(self._connection, [])
            left = f"; ended {ended} processes that a former engine left" if ended else ""
            telemetry.add_event(self._connection, "info", "engine", f"engine started (pid {os.getpid()}){left}")
        publish(self._connection)
        self._beat(force=True)

    def run(self) -> None:
        """Turn until told to leave. A failing disk is named and waited out."""
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, self._on_term)
        held = False
        while True:
            try:
                self._turn()
                if self._leaving and self._child is None:
                    break
                held = False
            except sqlite3.OperationalError as error:
                if not held:
                    print(f"the database can't be written ({error}); waiting until it can", file=sys.stderr, flush=True)
                held = True
                time.sleep(1.0)
            time.sleep(_TURN_SECONDS)
        with write(self._connection):
            telemetry.add_event(self._connection, "info", "engine", "engine ended")
            telemetry.end_heartbeat(self._connection, "engine")
        self._gauges.close()
        checkpoint(self._connection)

    def _on_term(self, *_: object) -> None:
        self._leaving = True

    def _turn(self) -> None:
        self._obey()
        iteration = iterations.current_iteration(self._connection)
        if self._child is not None:
            self._watch(self._child, iteration)
        elif iteration is not None and not self._leaving:
            self._advance(iteration)
        self._beat()

    def _obey(self) -> None:
        for directive in directives.pending(self._connection):
            with write(self._connection):
                accepted = obey(self._connection, directive)
            if accepted and directive.kind == "shut_down":
                self._leaving = True
            if accepted and directive.kind == "save_now" and self._child is not None:
                self._child.command("save")

    def _watch(self, child: Child, iteration: Iteration | None) -> None:
        """Make the running child follow the wanted state, and take in its end."""
        mine = iteration is not None and iteration.id == child.errand.iteration_id
        if self._leaving or not mine or (iteration is not None and iteration.control == "stop"):
            child.ask_stop()
        elif iteration is not None:
            child.set_paused(iteration.control == "pause")
        child.escalate()
        code = child.exit_code()
        if code is None:
            if child.errand.stages and iteration is not None:
                settle_rollouts(self._connection, iteration.id)
            return
        self._ended(child, code)

    def _ended(self, child: Child, code: int) -> None:
        failure = child.failure()
        child.close()
        sweep_orphans(self._workspace)
        self._child = None
        errand = child.errand
        assert errand.iteration_id is not None
        with write(self._connection):
            telemetry.end_heartbeat(self._connection, errand.slot)
            telemetry.put_live_text(self._connection, [])
        if code == DONE:
            self._crashes.pop((errand.iteration_id, errand.kind), None)
            self._complete(child)
        elif code == STOPPED or child.stop_asked is not None:
            self._back_to_pending("stopped", child)
        elif failure is None and self._may_restart(child):
            words = f"the {errand.slot} process ended without a word ({_signal_name(code)}); it is started again"
            with write(self._connection):
                telemetry.add_event(self._connection, "warning", "engine", words, errand.iteration_id)
            self._back_to_pending("crashed", child)
        else:
            log = self._workspace.child_log(errand.slot)
            words = f"the {errand.slot} process ended without a word ({_signal_name(code)}); see {log}"
            self._fail(errand, self._child_stages, failure or words)
        checkpoint(self._connection)

    def _may_restart(self, child: Child) -> bool:
        key = (child.errand.iteration_id, child.errand.kind)
        self._crashes[key] = self._crashes.get(key, 0) + 1
        return self._crashes[key] <= _RESTARTS

    def _complete(self, child: Child) -> None:
        errand = child.errand
        assert errand.iteration_id is not None
        iteration = iterations.get_iteration(self._connection, errand.iteration_id)
        with write(self._connection):
            if errand.kind == "prepare":
                parent = current_policy(self._connection, errand.run_id)
                assert parent is not None
                iterations.update_iteration(self._connection, iteration.id, parent_id=iteration.parent_id or parent.id)
            for name in self._child_stages:
                if name == "evaluate" and to_measure(iteration) - evaluated_policies(self._connection, iteration):
                    continue
                iterations.set_stage(self._connection, iteration.id, name, "done")

    def _back_to_pending(self, why: str, child: Child) -> None:
        errand = child.errand
        assert errand.iteration_id is not None
        with write(self._connection):
            for name in self._child_stages:
                stages = {stage.name: stage for stage in iterations.stages(self._connection, errand.iteration_id)}
                if stages[name].state == "running":
                    iterations.set_stage(self._connection, errand.iteration_id, name, "pending")
            iteration = iterations.get_iteration(self._connection, errand.iteration_id)
            if iteration.control == "stop":
                iterations.update_iteration(self._connection, iteration.id, state="stopped", reason=why)

    def _fail(self, errand: Errand, stages: tuple[str, ...], message: str) -> None:
        assert errand.iteration_id is not None
        with write(self._connection):
            if errand.kind == "prepare":
                set_run_state(self._connection, errand.run_id, "failed", message)
            for stage in iterations.stages(self._connection, errand.iteration_id):
                if stage.name in stages and stage.state != "done":
                    iterations.set_stage(self._connection, errand.iteration_id, stage.name, "failed", message)
            iterations.update_iteration(self._connection, errand.iteration_id, state="failed", reason=message)
            telemetry.add_event(self._connection, "error", errand.slot, message, errand.iteration_id)

    def _advance(self, iteration: Iteration) -> None:
        """Do the next thing an iteration asks for."""
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
        step = next_step(run, iteration, stages, settings, measured)
        if isinstance(step, Rest):
            return
        if isinstance(step, Wait):
            if iteration.state != "waiting":
                self._open_gate(iteration, step.gate)
        elif isinstance(step, Decide):
            comparison = compare_child(self._connection, iteration)
            decision = decide(settings.evaluation.promote, comparison)
            with write(self._connection):
                close_iteration(self._connection, iteration, decision.state, decision.reason)
        elif isinstance(step, Close):
            measured_words = describe_measured(self._connection, iteration)
            with write(self._connection):
                close_evaluation(self._connection, iteration, measured_words)
        else:
            self._start(iteration, step)

    def _open_gate(self, iteration: Iteration, gate: str) -> None:
        note = describe_gate(self._connection, iteration, gate)
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

    def _start(self, iteration: Iteration, step: Start) -> None:
        try:
            child = start_child(self._workspace, step.errand)
        except OSError as error:
            self._fail(step.errand, step.stages, f"can't start a process for {step.errand.kind}: {error}")
            return
        self._child, self._child_stages = child, step.stages
        with write(self._connection):
            for name in step.stages:
                iterations.set_stage(self._connection, iteration.id, name, "running")
            if iteration.state != "running":
                iterations.update_iteration(self._connection, iteration.id, state="running")

    def _beat(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._last_beat < _BEAT_SECONDS:
            return
        self._last_beat = now
        state = "working" if self._child is not None else "idle"
        detail = {**readings(self._workspace.root), "child": self._child.errand.slot if self._child else None}
        with write(self._gauges):
            telemetry.beat(self._gauges, "engine", os.getpid(), self._started, state, detail)


def _signal_name(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
