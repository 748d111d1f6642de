"""The part of the rollout worker that measures the controls of a policy, after its evaluation and with its generators.

Texts that the parent policy writes need the parent's weights: the worker then serves the parent instead, and the
supervisor starts it once more for what follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, get_args

from engine.errors import EngineError
from engine.evaluation.control_load import control_plan, control_request, controls_are_measured
from engine.evaluation.control_outcome import control_outcome
from engine.evaluation.control_plan import ControlPlan
from engine.evaluation.control_runner import ControlRunner, Generators
from engine.generation.serving import Serving
from engine.models.weights import Role, require_weights, weights_of
from engine.rollout.gauges import Gauges
from engine.rollout.plan import Counts, no_counts
from engine.rollout.store_writer import StoreWriter
from engine.rollout.telemetry_thread import Progress, TelemetryThread
from engine.stages.context import StageContext
from engine.tasks.verifier_pool import VerifierPool
from store.control.telemetry import add_event
from store.database.connection import write
from store.evaluation.number_format import counted
from store.records import Iteration
from store.rollouts.control_results import put_control_results
from store.rollouts.control_texts import NewControl, insert_control
from store.runs.policies import get_policy
from store.settings import RunSettings
from store.settings.generation import needs_weights


class Stoppable(Protocol):
    """Work in progress that can be told to start nothing more."""

    def stop(self) -> None:
        """Start no further generations; those in flight finish and are stored."""


class ControlStage:
    """Measures the controls of one policy.

    Args:
        context: of the worker.
        iteration: the iteration or evaluation whose settings apply.
        settings: its settings.
        policy_id: the measured policy.
    """

    def __init__(self, context: StageContext, iteration: Iteration, settings: RunSettings, policy_id: int) -> None:
        self._context = context
        self._iteration = iteration
        self._settings = settings
        self._policy_id = policy_id
        self._name = get_policy(context.connection, policy_id).name
        self._gone = self._unservable()

    def _unservable(self) -> Mapping[int, str]:
        """Return the parent policy with the reason why its weights can't be served, if they can't."""
        context = self._context
        parent = get_policy(context.connection, self._policy_id).parent_id
        if parent is None or not needs_weights(self._settings.generation.generator):
            return {}
        try:
            for role in get_args(Role):
                require_weights(weights_of(context.connection, context.workspace, parent, role))
        except EngineError as error:
            return {parent: str(error)}
        return {}

    def plan(self) -> ControlPlan:
        """Load the plan with all texts stored so far."""
        return control_plan(self._context.connection, self._iteration.id, self._policy_id, self._gone)

    def served_next(self) -> int | None:
        """Return the policy whose weights the outstanding texts need first; None if nothing is outstanding.

        The measured policy comes before its parent, which may need texts of it.
        """
        served = {item.served_id for item in self.plan().items()}
        if self._policy_id in served:
            return self._policy_id
        return min(served, default=None)

    async def run(
        self,
        served_id: int,
        serving: Serving,
        verifiers: VerifierPool,
        writer: StoreWriter,
        broadcast: TelemetryThread,
        follow: Callable[[Stoppable], Awaitable[None]],
    ) -> bool:
        """Generate what the served policy can; return False if it was stopped before.

        Args:
            served_id: the policy that `serving` serves.
            serving: its generators.
            verifiers: verify the corrections.
            writer: stores the texts.
            broadcast: shows the progress.
            follow: pauses, resumes and stops the work on the supervisor's commands, until cancelled.
        """
        counts = no_counts()
        # All of them are called: the progress of the evaluation adds up what each protocol has counted.
        before: Progress = {}
        for report in list(broadcast.progress):
            before |= report()
        gauges = Gauges(counts)
        broadcast.gauges = gauges
        announced = False
        while True:
            plan = self.plan()
            items = [item for item in plan.items() if item.served_id == served_id]
            if not items:
                return True
            counts.total["correct"] += len(items)
            if not announced:
                self._announce(plan, len(items))
                broadcast.progress.append(lambda: self._progress(before, counts))
                announced = True
            runner = ControlRunner(
                plan,
                self._iteration.id,
                Generators(serving.reasoner, serving.reflector),
                verifiers.verify,
                lambda new: _stored(writer, new),
                gauges,
                concurrency=self._settings.generation.concurrency,
                retries=self._settings.generation.retries,
            )
            broadcast.queued = runner.queued
            listening = asyncio.create_task(_awaited(follow(runner)))
            try:
                finished = await runner.run(items)
            finally:
                listening.cancel()
            if not finished:
                return False

    def _progress(self, before: Progress, counts: Counts) -> Progress:
        done, total, _ = before.get("evaluate", (0, 0, ""))
        made, known = counts.done["correct"], counts.total["correct"]
        return {"evaluate": (done + made, total + known, f"{self._name} controls: {made:,} of {known:,} texts")}

    def _announce(self, plan: ControlPlan, texts: int) -> None:
        """State the number of texts before they are generated."""
        context = self._context
        words = (
            f"controls of {self._name}: "
            f"{counted(len(plan.wrong), 'wrong answer')}, {counted(texts, 'text')} to generate first "
            f"(arms {', '.join(plan.arms) or 'none'})"
        )
        with write(context.connection):
            add_event(context.connection, "info", context.job.slot, words, self._iteration.id)

    def record(self) -> None:
        """Compute and store the results, unless texts are still outstanding."""
        plan, connection = self.plan(), self._context.connection
        if plan.items():
            return
        outcome = control_outcome(connection, self._iteration.run_id, plan, self._settings.evaluation.split)
        with write(connection):
            put_control_results(
                connection,
                policy_id=self._policy_id,
                protocol=plan.plan.protocol,
                first_answers=plan.first_answers,
                iteration_id=self._iteration.id,
                request=control_request(plan.section),
                results=outcome,
            )


def control_stage(
    context: StageContext, iteration: Iteration, settings: RunSettings, policy_id: int, protocol: str
) -> ControlStage | None:
    """Return the controls that are requested and not measured yet; None if there are none."""
    if controls_are_measured(context.connection, settings, policy_id, protocol):
        return None
    return ControlStage(context, iteration, settings, policy_id)


async def _stored(writer: StoreWriter, new: NewControl) -> int:
    return await writer.store(lambda connection: insert_control(connection, new))


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable
