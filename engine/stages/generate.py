"""The rollout worker: generates a policy's training rollouts and its answers to the held-out questions.

All of it uses the same generators, so that a model is loaded once, and only if there is outstanding work.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from engine.evaluation.baselines import baseline_outcomes, budgets
from engine.evaluation.load_plan import generated_plans, held_out_plan, held_out_plans, repeat_plan
from engine.evaluation.policy_floors import first_answers, floors_by_task, pairs_of_run
from engine.evaluation.protocol import answered, feedback_of, feedbacks_of, measure
from engine.evaluation.stored_results import to_measure
from engine.generation.serving import Serving, serve
from engine.models.weights import PolicyWeights, weights_of
from engine.rollout.gauges import Gauges
from engine.rollout.load_plan import Progressed, kinds_of, reflector_of, settings_of, training_plan
from engine.rollout.plan import STAGE_OF, Counts, RolloutPlan, WorkKind, count
from engine.rollout.runner import RolloutRunner
from engine.rollout.store_writer import StoreWriter
from engine.rollout.telemetry_thread import Progress, TelemetryThread
from engine.stages.context import StageContext
from engine.stages.control_stage import ControlStage, Stoppable, control_stage
from engine.tasks.verifier_pool import VerifierPool
from store.control.telemetry import add_event
from store.database.connection import write
from store.evaluation.comparisons import put_baseline_outcomes
from store.evaluation.floors import FLOOR
from store.evaluation.number_format import counted, share_of
from store.evaluation.transfer import grouped
from store.records import Iteration, StageName
from store.rollouts.lift import store_lifts
from store.runs.iterations import get_iteration
from store.runs.policies import get_policy, put_evaluation
from store.settings import RunSettings


def generate(context: StageContext) -> bool:
    """Run the job's rollouts and evaluation; True when no work is outstanding, False when stopped before."""
    job, connection = context.job, context.connection
    assert job.iteration_id is not None and job.policy_id is not None
    iteration = get_iteration(connection, job.iteration_id)
    settings = settings_of(iteration)
    rollouts: list[_Part] = []
    parts: list[_Part] = []
    if job.stages:
        progress = partial(_training_progress, settings)
        complete = partial(store_lifts, iteration_id=iteration.id) if "correct" in job.stages else None
        rollouts.append(_Part(partial(training_plan, connection, iteration.id, job.stages), progress, complete))
        reflector = rollouts[0].load().plan.reflector_id
        if reflector == reflector_of(connection, iteration, settings, job.policy_id):
            parts, rollouts = rollouts, []
        elif _has_outstanding(rollouts[0].load()):
            # In evaluation the policy reflects for itself: its generators are loaded anew.
            generation = _Generation(context, settings, job.policy_id, reflector)
            if not asyncio.run(generation.run(rollouts, lambda: None, None)):
                return False
        else:
            _complete(connection, rollouts)
    if job.evaluates:
        parts += _evaluation(connection, iteration, job.policy_id, settings)
    controls = None
    if job.evaluates:
        protocol = held_out_plan(connection, iteration.id, job.policy_id).plan.protocol
        controls = control_stage(context, iteration, settings, job.policy_id, protocol)
    served = job.policy_id if any(_has_outstanding(part.load()) for part in parts) else None
    if served is None and controls is not None:
        served = controls.served_next()

    def record() -> None:
        if job.evaluates and job.policy_id is not None:
            for held_out in held_out_plans(connection, iteration.id, job.policy_id):
                _record_evaluation(connection, iteration.id, held_out, settings)

    if served is None:
        _complete(connection, parts)
        record()
    elif not asyncio.run(_Generation(context, settings, served).run(parts, record, controls)):
        return False
    if controls is not None:
        controls.record()
    return True


_Progress = Callable[[Counts], Progress]


@dataclass(frozen=True, slots=True)
class _Part:
    """One plan of the worker, loaded right before it runs: a second protocol reuses answers that the first stored.

    `complete` stores what follows from the texts once none of the plan is outstanding, inside a write transaction.
    """

    load: Callable[[], Progressed]
    progress: _Progress
    complete: Callable[[sqlite3.Connection], object] | None = None


def _complete(connection: sqlite3.Connection, parts: Sequence[_Part]) -> None:
    """Store what follows from plans without outstanding work."""
    for part in parts:
        if part.complete is not None:
            with write(connection):
                part.complete(connection)


def _evaluation(
    connection: sqlite3.Connection, iteration: Iteration, policy_id: int, settings: RunSettings
) -> list[_Part]:
    """Return one part for each protocol that the policy is evaluated under."""
    counted = {
        (policy, progressed.plan.protocol): count(progressed.plan, progressed.done)
        for policy in {policy_id} | to_measure(iteration)
        for progressed in generated_plans(connection, iteration.id, policy)
    }
    mine = held_out_plans(connection, iteration.id, policy_id)
    repeat = repeat_plan(connection, iteration.id, policy_id)
    awaited = []
    if iteration.child_id is None and iteration.kind == "training":
        # The child policy will answer the same questions once it is trained.
        awaited = [count(held_out.plan, {}) for held_out in mine]
    every = mine if repeat is None else [*mine, repeat]
    own = {held_out.plan.protocol: counted[policy_id, held_out.plan.protocol] for held_out in every}
    others = [counts for (policy, _), counts in counted.items() if policy != policy_id]
    progress = _EvaluationProgress(get_policy(connection, policy_id).name, own, [*others, *awaited])
    parts = [
        _Part(
            partial(held_out_plan, connection, iteration.id, policy_id, feedback),
            partial(progress, held_out.plan.protocol),
        )
        for feedback, held_out in zip(feedbacks_of(settings), mine, strict=True)
    ]
    if repeat is not None:
        # It reuses nothing, so that the plan as loaded now stays valid.
        parts.append(_Part(lambda: repeat, partial(progress, repeat.plan.protocol)))
    return parts


def _has_outstanding(progressed: Progressed) -> bool:
    return count(progressed.plan, progressed.done).has_outstanding(progressed.plan.stages)


def _training_progress(settings: RunSettings, counts: Counts) -> Progress:
    right = share_of(counts.correct["attempt"], counts.done["attempt"])
    flipped = share_of(counts.correct["correct"], counts.done["correct"])
    second = f"i→c {flipped}" if settings.reflection.on == "wrong" else f"right {flipped}"
    return {
        "attempt": (
            *_in_stage(counts, "attempt"),
            f"Acc@t1 {right}{_sampled(counts, 'attempt')}{_reused(counts, 'attempt')}",
        ),
        "reflect": (*_in_stage(counts, "reflect"), _reused(counts, "reflect").removeprefix(" · ")),
        "correct": (
            *_in_stage(counts, "correct"),
            f"{second}{_sampled(counts, 'correct')}{_reused(counts, 'correct')}",
        ),
    }


_SAMPLED: Mapping[StageName, tuple[tuple[WorkKind, str], ...]] = {
    "attempt": (("attempt", "first"), ("vote", "sampled beside them")),
    "correct": (("resample", "sampled beside the first"), ("retry", "without a reflection")),
}
"""Kinds of work whose texts a stage counts together, with what distinguishes them."""


def _sampled(counts: Counts, stage: StageName) -> str:
    """Say how many of a stage's texts are further samples, which belong to no trajectory; empty without any."""
    kinds = _SAMPLED[stage]
    if not any(counts.total[kind] for kind, _ in kinds if kind != stage):
        return ""
    return " · " + ", ".join(f"{counts.done[kind]:,} {words}" for kind, words in kinds)


def _in_stage(counts: Counts, stage: StageName) -> tuple[int, int]:
    """Return the numbers of stored and of known items of all kinds of work that belong to a stage."""
    kinds = [kind for kind, of in STAGE_OF.items() if of == stage]
    return sum(counts.done[kind] for kind in kinds), sum(counts.total[kind] for kind in kinds)


def _reused(counts: Counts, kind: WorkKind) -> str:
    return f" · {counts.reused[kind]:,} reused" if counts.reused[kind] else ""


class _EvaluationProgress:
    """Progress of the evaluate stage, over all protocols and over parent and child.

    Args:
        policy: name of the policy that currently answers.
        own: its counts by protocol; those of a plan replace them when it starts, since a second protocol reuses the
            first answers of the first.
        others: counts of the answers that other policies have given or will give.
    """

    def __init__(self, policy: str, own: dict[str, Counts], others: Sequence[Counts]) -> None:
        self._policy = policy
        self._own = dict(own)
        self._others = tuple(others)

    def __call__(self, protocol: str, counts: Counts) -> Progress:
        self._own[protocol] = counts
        every = (*self._own.values(), *self._others)
        right = share_of(counts.correct["attempt"], counts.done["attempt"])
        done = sum(sum(one.done.values()) for one in every)
        total = sum(sum(one.total.values()) for one in every)
        return {"evaluate": (done, total, f"{self._policy} Acc@t1 {right}")}


class _Generation:
    """Runs several plans one after another on the same generators, within an event loop; `served_id` is the policy that
    they serve, and `reflector_id` the one that reflects, by default as in evaluation."""

    def __init__(
        self, context: StageContext, settings: RunSettings, served_id: int, reflector_id: int | None = None
    ) -> None:
        self._context = context
        self._settings = settings
        self._served_id = served_id
        self._reflector_id = reflector_id
        self._held: str | None = None

    async def run(self, parts: list[_Part], record: Callable[[], None], controls: ControlStage | None) -> bool:
        """Run the plans, `record` the evaluation, then measure the controls; False when stopped before."""
        context, settings = self._context, self._settings
        job = context.job
        assert job.policy_id is not None and job.iteration_id is not None
        reasoner, reflector = self._weights()
        serving = serve(settings.generation, reasoner, reflector, settings.seed, context.warn)
        broadcast = TelemetryThread(context.workspace.database, job.slot, job.iteration_id, serving.name, reasoner.name)
        verifiers = VerifierPool(kinds_of(settings))
        writer = StoreWriter(context.connection, lambda reason: self._hold(serving, reason))
        # From here on the broadcast sends a more detailed heartbeat than the pulse.
        context.pulse.end()
        broadcast.start()
        try:
            await serving.start()
            for part in parts:
                progressed = part.load()
                counts = count(progressed.plan, progressed.done)
                taken_before = sum(counts.reused.values())
                gauges = Gauges(counts)
                rollout = RolloutRunner(
                    progressed.plan,
                    progressed.done,
                    serving.reasoner,
                    verifiers.verify,
                    writer,
                    gauges,
                    concurrency=settings.generation.concurrency,
                    retries=settings.generation.retries,
                    reflector=serving.reflector,
                )
                broadcast.gauges, broadcast.queued = gauges, rollout.queued
                broadcast.progress.append(partial(part.progress, counts))
                listening = asyncio.create_task(self._follow(serving, broadcast, rollout))
                try:
                    finished = await rollout.run()
                finally:
                    listening.cancel()
                self._report_reuse(sum(counts.reused.values()) - taken_before, progressed.plan)
                if not finished:
                    return False
                if part.complete is not None:
                    await writer.store(part.complete)
            record()
            follow = partial(self._follow, serving, broadcast)
            return controls is None or await controls.run(
                self._served_id, serving, verifiers, writer, broadcast, follow
            )
        finally:
            broadcast.stop()
            verifiers.close()
            await serving.close()

    def _weights(self) -> tuple[PolicyWeights, PolicyWeights]:
        """Return the weights that answer and those that reflect; the same policy unless the run names a reflector."""
        context, policy_id = self._context, self._served_id
        assert context.job.iteration_id is not None
        iteration = get_iteration(context.connection, context.job.iteration_id)
        reflects = self._reflector_id or reflector_of(context.connection, iteration, self._settings, policy_id)
        reasoner = weights_of(context.connection, context.workspace, policy_id)
        return reasoner, weights_of(context.connection, context.workspace, reflects, "reflector")

    def _report_reuse(self, taken: int, plan: RolloutPlan) -> None:
        if not taken:
            return
        job = self._context.job
        reuse = self._settings.reuse
        source = f"iteration {reuse.iteration}" if reuse and not plan.protocol else "the other protocol"
        words = f"reused {counted(taken, 'text')} of {source} instead of generating them again"
        with write(self._context.connection):
            add_event(self._context.connection, "info", job.slot, words, job.iteration_id)

    async def _follow(self, serving: Serving, broadcast: TelemetryThread, work: Stoppable) -> None:
        """Pause, resume and stop on the supervisor's commands."""
        commands = self._context.commands

        def wants_pause() -> bool:
            if commands.should_stop():
                work.stop()
                # A paused generator would never finish the requests in flight.
                return False
            return commands.is_paused() or self._held is not None

        def report() -> None:
            broadcast.state = f"held: {self._held}" if self._held else "paused" if serving.paused else "running"

        await serving.follow(wants_pause, report)

    async def _hold(self, serving: Serving, reason: str | None) -> None:
        self._held = reason
        await serving.set_paused(reason is not None or self._context.commands.is_paused())


def _record_evaluation(
    connection: sqlite3.Connection, iteration_id: int, held_out: Progressed, settings: RunSettings
) -> None:
    plan, kinds = held_out.plan, kinds_of(settings)
    rows = answered(plan.questions, held_out.done, kinds)
    measured = measure(rows, feedback_of(plan.protocol), settings)
    outcomes = baseline_outcomes(rows, budgets(rows, settings.seed), feedback_of(plan.protocol))
    floors = {}
    if feedback_of(plan.protocol) == "oracle":
        pairs = pairs_of_run(connection, get_iteration(connection, iteration_id).run_id, kinds)
        floors = {
            task: {FLOOR: floor.as_metric()}
            for task, floor in floors_by_task(
                plan.questions, first_answers(rows), kinds, pairs, settings.transfer_tasks
            ).items()
        }
    sizes = {task: len(part) for task, part in grouped(rows, settings.transfer_tasks).items()}
    with write(connection):
        put_baseline_outcomes(connection, plan.policy_id, plan.protocol, outcomes)
        for task, metrics in measured.items():
            put_evaluation(
                connection,
                policy_id=plan.policy_id,
                iteration_id=iteration_id,
                protocol=plan.protocol,
                task=task,
                n=sizes[task],
                metrics={name: asdict(metric) for name, metric in metrics.items()} | floors.get(task, {}),
                split=settings.evaluation.split,
            )
