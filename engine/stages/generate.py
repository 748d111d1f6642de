"""The generating child: training rollouts of one policy, and its answers to the held-out questions.

Both go through the same generator, so that the model is loaded once. Loads a generator only when something
is owed.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

from engine.broadcast import Broadcast
from engine.evaluation import answered, measure
from engine.gauges import Gauges
from engine.generation import GENERATORS, choose
from engine.generation.base import Generator
from engine.generation.vllm import set_cpu_environment
from engine.journal import StoreJournal
from engine.judging import Judges
from engine.rollout import Rollout
from engine.situation import Progressed, held_out_sweep, require_weights, settings_of, training_sweep, weights_of
from engine.stages.context import StageContext
from engine.sweep import Counts, count
from store.connection import write
from store.iterations import get_iteration
from store.policies import get_policy, put_evaluation
from store.settings import RunSettings
from store.telemetry import add_event

_LISTEN_SECONDS = 0.1


def generate(context: StageContext) -> bool:
    """Do the errand's rollouts and evaluation; True when nothing of them is owed any more."""
    errand, connection = context.errand, context.connection
    assert errand.iteration_id is not None and errand.policy_id is not None
    iteration = get_iteration(connection, errand.iteration_id)
    settings = settings_of(iteration)
    plan: list[tuple[Progressed, _Progress]] = []
    if errand.stages:
        rollout = training_sweep(connection, iteration.id, errand.stages)
        plan.append((rollout, _training_progress))
    if errand.evaluates:
        held_out = held_out_sweep(connection, iteration.id, errand.policy_id)
        others = [
            count(progressed.sweep, progressed.done)
            for policy_id in (iteration.parent_id, iteration.child_id)
            if policy_id not in (None, errand.policy_id)
            for progressed in [held_out_sweep(connection, iteration.id, int(policy_id or 0))]
        ]
        if iteration.child_id is None:
            # The child policy will answer the same questions once it is trained.
            others.append(Counts({}, {"attempt": len(held_out.sweep.questions)}, {}))
        plan.append((held_out, _EvaluationProgress(get_policy(connection, errand.policy_id).name, others)))
    if any(_owes(progressed) for progressed, _ in plan) and not asyncio.run(_Generation(context, settings).run(plan)):
        return False
    if errand.evaluates:
        _record_evaluation(connection, iteration.id, errand.policy_id, settings)
    return True


_Progress = Callable[[Counts], dict[str, tuple[int, int, str]]]


def _owes(progressed: Progressed) -> bool:
    counts = count(progressed.sweep, progressed.done)
    allowed = progressed.sweep.stages | ({"retry"} if "correct" in progressed.sweep.stages else set())
    return any(counts.done[stage] < counts.total[stage] for stage in allowed)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _training_progress(counts: Counts) -> dict[str, tuple[int, int, str]]:
    right = _percent(counts.correct["attempt"], counts.done["attempt"])
    flipped = _percent(counts.correct["correct"], counts.done["correct"])
    return {
        "attempt": (counts.done["attempt"], counts.total["attempt"], f"Acc@t1 {right}"),
        "reflect": (counts.done["reflect"], counts.total["reflect"], ""),
        "correct": (counts.done["correct"], counts.total["correct"], f"i→c {flipped}"),
    }


class _EvaluationProgress:
    """Progress of the evaluate stage, which is that of parent and child together."""

    def __init__(self, policy: str, others: list[Counts]) -> None:
        self._policy = policy
        self._done = sum(sum(counts.done.values()) for counts in others)
        self._total = sum(sum(counts.total.values()) for counts in others)

    def __call__(self, counts: Counts) -> dict[str, tuple[int, int, str]]:
        right = _percent(counts.correct["attempt"], counts.done["attempt"])
        return {
            "evaluate": (
                self._done + sum(counts.done.values()),
                self._total + sum(counts.total.values()),
                f"{self._policy} Acc@t1 {right}",
            )
        }


class _Generation:
    """The event loop's part: one generator, several sweeps one after another."""

    def __init__(self, context: StageContext, settings: RunSettings) -> None:
        self._context = context
        self._settings = settings
        self._held: str | None = None
        self._paused = False

    async def run(self, plan: list[tuple[Progressed, _Progress]]) -> bool:
        context, settings = self._context, self._settings
        errand = context.errand
        assert errand.policy_id is not None and errand.iteration_id is not None
        set_cpu_environment(settings.generation)
        chosen = choose(settings.generation.generator)
        name = chosen.name
        if chosen.note:
            with write(context.connection):
                add_event(context.connection, "warning", errand.slot, chosen.note, errand.iteration_id)
        weights = weights_of(context.connection, context.workspace, errand.policy_id)
        if name != "scripted":
            require_weights(weights)
        generator = GENERATORS[name](weights, settings.generation, settings.seed)
        broadcast = Broadcast(context.workspace.database, errand.slot, errand.iteration_id, name, weights.name)
        judges = Judges({task.name: task.kind for task in settings.tasks})
        journal = StoreJournal(context.connection, lambda reason: self._hold(generator, reason))
        # From here on the broadcast tells more than the pulse does.
        context.pulse.end()
        broadcast.start()
        try:
            await generator.start()
            for progressed, progress in plan:
                counts = count(progressed.sweep, progressed.done)
                gauges = Gauges(counts)
                rollout = Rollout(
                    progressed.sweep,
                    progressed.done,
                    generator,
                    judges.judge,
                    journal,
                    gauges,
                    concurrency=settings.generation.concurrency,
                    retries=settings.generation.retries,
                )
                broadcast.gauges, broadcast.queued = gauges, rollout.queued
                broadcast.progress.append(partial(progress, counts))
                listening = asyncio.create_task(self._listen(generator, rollout, broadcast))
                try:
                    if not await rollout.run():
                        return False
                finally:
                    listening.cancel()
            return True
        finally:
            broadcast.stop()
            judges.close()
            await generator.close()

    async def _listen(self, generator: Generator, rollout: Rollout, broadcast: Broadcast) -> None:
        """Pass on what the supervisor says."""
        commands = self._context.commands
        while True:
            if commands.should_stop():
                rollout.stop()
                # A paused generator would never finish what is in hand.
                await self._set_paused(generator, False)
            else:
                await self._set_paused(generator, commands.is_paused() or self._held is not None)
            broadcast.state = f"held: {self._held}" if self._held else "paused" if self._paused else "running"
            await asyncio.sleep(_LISTEN_SECONDS)

    async def _hold(self, generator: Generator, reason: str | None) -> None:
        self._held = reason
        await self._set_paused(generator, reason is not None or self._context.commands.is_paused())

    async def _set_paused(self, generator: Generator, paused: bool) -> None:
        if paused != self._paused:
            self._paused = paused
            await (generator.pause() if paused else generator.resume())


def _record_evaluation(
    connection: sqlite3.Connection, iteration_id: int, policy_id: int, settings: RunSettings
) -> None:
    held_out = held_out_sweep(connection, iteration_id, policy_id)
    rows = answered(held_out.sweep.questions, held_out.done)
    with write(connection):
        for task, metrics in measure(rows, settings).items():
            put_evaluation(
                connection,
                policy_id=policy_id,
                iteration_id=iteration_id,
                protocol=held_out.sweep.protocol,
                task=task,
                n=sum(1 for row in rows if task in ("", row.task)),
                metrics={name: asdict(metric) for name, metric in metrics.by_name().items()},
            )
