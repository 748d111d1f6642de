"""Runs the rollouts of an iteration as in production, on a real generator and into a real store, and records every
request with its reply.

For benchmarks and tests that inspect the requests to a generator; needs no engine process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.commands.init import init_workspace
from engine.generation.base import Generated, GenerationRequest, Generator
from engine.rollout.gauges import Gauges
from engine.rollout.load_plan import kinds_of, training_plan
from engine.rollout.plan import count
from engine.rollout.runner import RolloutRunner
from engine.rollout.store_writer import StoreWriter
from engine.stages.context import Commands, Pulse, StageContext
from engine.stages.job import Job
from engine.stages.prepare import prepare
from engine.supervisor.lineage import current_policy
from engine.tasks.verifier_pool import VerifierPool
from store.database.connection import open_writer, write
from store.runs.iterations import add_iteration
from store.runs.runs import add_run
from store.settings import RunSettings
from store.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its reply."""

    request: GenerationRequest
    generated: Generated


class Recording:
    """A generator that passes on every request and records it."""

    def __init__(self, inner: Generator) -> None:
        self.name = inner.name
        self._inner = inner
        self.exchanges: list[Exchange] = []

    async def start(self) -> None:
        """Load the policy."""
        await self._inner.start()

    async def generate(self, request: GenerationRequest, on_text: Callable[[str], None] | None = None) -> Generated:
        """Generate, and record the exchange."""
        generated = await self._inner.generate(request, on_text)
        self.exchanges.append(Exchange(request, generated))
        return generated

    async def pause(self) -> None:
        """Stop computing."""
        await self._inner.pause()

    async def resume(self) -> None:
        """Resume computing."""
        await self._inner.resume()

    async def close(self) -> None:
        """Release the device."""
        await self._inner.close()


async def run_plan(settings: RunSettings, directory: Path, generator: Generator) -> list[Exchange]:
    """Generate attempts, reflections and corrections of a first iteration with these settings, on a started generator.

    Raises:
        EngineError: if a task or the model doesn't exist.
    """
    workspace = Workspace(directory / "workspace")
    init_workspace(workspace, "demo-cpu", None, replace=False)
    connection = open_writer(workspace.database)
    try:
        iteration_id = _first_iteration(workspace, settings)
        progressed = training_plan(connection, iteration_id)
        recording = Recording(generator)

        async def hold(reason: str | None) -> None:
            raise RuntimeError(reason)

        verifiers = VerifierPool(kinds_of(settings))
        try:
            finished = await RolloutRunner(
                progressed.plan,
                progressed.done,
                recording,
                verifiers.verify,
                StoreWriter(connection, hold),
                Gauges(count(progressed.plan, progressed.done)),
                concurrency=settings.generation.concurrency,
                retries=0,
            ).run()
        finally:
            verifiers.close()
        assert finished
        return recording.exchanges
    finally:
        connection.close()


def _first_iteration(workspace: Workspace, settings: RunSettings) -> int:
    values = settings.model_dump(mode="json")
    connection = open_writer(workspace.database)
    with write(connection):
        run_id = add_run(connection, settings.name, settings.model, values, "")
    pulse = Pulse(workspace.database, "prepare")
    try:
        prepare(StageContext(workspace, Job("prepare", run_id, 0), connection, Commands(), pulse))
    finally:
        pulse.end()
    policy = current_policy(connection, run_id)
    assert policy is not None
    with write(connection):
        iteration_id = add_iteration(connection, run_id, policy.id, values, 0)
    connection.close()
    return iteration_id
