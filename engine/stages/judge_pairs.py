"""The judging part of the curating child: builds the judge of the settings, asks it about open pairs, and writes down
every request and judgement as it happens.

A generator is loaded only when the policy itself judges and pairs are open.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from engine.curation.judge.endpoint import EndpointJudge
from engine.curation.judge.policy import SelfJudge
from engine.curation.judge.ranking import Answer, Judge, JudgedPair, Order, PairRanking, Tally
from engine.generation import MAKERS, choose
from engine.generation.base import Generator
from engine.generation.vllm import set_cpu_environment
from engine.models.weights import require_weights, weights_of
from engine.prompts.judge import JUDGE_PROMPT_VERSION
from engine.stages.context import StageContext
from store.control.telemetry import add_event
from store.curation.judge_requests import add_request, answer_request, judge_requests, requests_spent
from store.curation.preferences import insert_preference
from store.database.connection import write
from store.records import Iteration
from store.runs.iterations import set_progress
from store.runs.policies import get_policy
from store.settings import RunSettings
from store.settings.generation import needs_weights

_LISTEN_SECONDS = 0.1


class StoreLedger:
    """Keeps requests and judgements in the store, each in a transaction of its own.

    Args:
        connection: a writer.
        iteration_id: whose pairs are judged.
        judge: name of the judge, as in `preferences.reviewer`.
        budget: most requests of the iteration.
        on_decided: called inside the transaction of each judgement.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        iteration_id: int,
        judge: str,
        budget: int,
        on_decided: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._iteration_id = iteration_id
        self._judge = judge
        self._budget = budget
        self._on_decided = on_decided

    def known(self) -> Mapping[Order, Answer]:
        """What this judge chose before under the same prompt, by order."""
        return {
            (request.first_id, request.second_id): request.answer
            for request in judge_requests(self._connection, self._iteration_id)
            if request.answer in ("first", "second")
            and (request.judge, request.prompt_version) == (self._judge, JUDGE_PROMPT_VERSION)
        }

    def left(self) -> int:
        """Requests that the budget still has."""
        return self._budget - requests_spent(self._connection, self._iteration_id)

    def spend(self, order: Order) -> int | None:
        """Spend a request; None when the budget is spent."""
        with write(self._connection):
            return add_request(
                self._connection,
                self._iteration_id,
                *order,
                judge=self._judge,
                prompt_version=JUDGE_PROMPT_VERSION,
                budget=self._budget,
            )

    def answered(self, request_id: int, answer: Answer) -> None:
        """Record what came of a request."""
        with write(self._connection):
            answer_request(self._connection, request_id, answer)

    def decided(self, chosen_id: int, rejected_id: int, confidence: float, note: str) -> None:
        """Record a judgement."""
        with write(self._connection):
            insert_preference(
                self._connection,
                chosen_id,
                rejected_id,
                source="judge",
                confidence=confidence,
                reviewer=self._judge,
                note=note,
            )
            self._on_decided()


async def prefer(
    context: StageContext,
    iteration: Iteration,
    settings: RunSettings,
    open_pairs: Callable[[], list[JudgedPair]],
    trajectories: int,
) -> Tally:
    """Judge the pairs that `open_pairs` gives until it gives none, a stop is asked for, or the budget is spent.

    Args:
        context: the child's.
        iteration: the iteration.
        settings: its settings; `judge.by` is `self` or `endpoint`.
        open_pairs: what is left to judge, in the light of what was judged by now.
        trajectories: how many trajectories were curated, for the stage's progress.

    Raises:
        JudgeUnavailable: the judge can't be asked.
        EngineError: no generator can serve the policy.
    """
    pairs = open_pairs()
    total = Tally()
    if not pairs:
        return total
    judged, known = 0, trajectories + len(pairs)

    def on_decided() -> None:
        nonlocal judged
        judged += 1
        set_progress(
            context.connection, iteration.id, "curate", trajectories + judged, max(known, trajectories + judged)
        )
        context.pulse.beat("judging", {"judge": settings.judge.by, "judged": judged, "pairs": known - trajectories})

    context.pulse.beat("loading", {"judge": settings.judge.by})
    async with _judge(context, iteration, settings) as (judge, name):
        context.pulse.beat("judging", {"judge": settings.judge.by, "judged": 0, "pairs": len(pairs)})
        ledger = StoreLedger(context.connection, iteration.id, name, settings.judge.max_requests, on_decided)
        by_endpoint = settings.judge.by == "endpoint"
        while pairs and total.ended == "done":
            judging = PairRanking(
                judge,
                ledger,
                concurrency=settings.judge.concurrency if by_endpoint else settings.generation.concurrency,
                retries=settings.judge.retries,
                # A greedy policy says the same again.
                unclear_retries=settings.judge.retries if by_endpoint else 0,
                should_stop=context.commands.should_stop,
                is_paused=context.commands.is_paused,
                tally=total,
            )
            await judging.run(pairs)
            pairs = open_pairs()
            known = max(known, trajectories + judged + len(pairs))
    return total


@asynccontextmanager
async def _judge(
    context: StageContext, iteration: Iteration, settings: RunSettings
) -> AsyncIterator[tuple[Judge, str]]:
    """The judge of the settings, ready, with its name."""
    if settings.judge.by == "endpoint":
        endpoint = EndpointJudge(settings.judge)
        await endpoint.start()
        try:
            yield endpoint, f"endpoint {settings.judge.model}"
        finally:
            await endpoint.close()
        return
    assert iteration.parent_id is not None
    generator = _generator(context, iteration, settings)
    try:
        await generator.start()
        listening = asyncio.create_task(_listen(context, generator))
        try:
            name = get_policy(context.connection, iteration.parent_id).name
            yield SelfJudge(generator, settings.judge.max_tokens), f"self {name}"
        finally:
            listening.cancel()
    finally:
        await generator.close()


def _generator(context: StageContext, iteration: Iteration, settings: RunSettings) -> Generator:
    assert iteration.parent_id is not None
    set_cpu_environment(settings.generation)
    chosen = choose(settings.generation.generator)
    if chosen.note:
        with write(context.connection):
            add_event(context.connection, "warning", context.job.slot, chosen.note, iteration.id)
    weights = weights_of(context.connection, context.workspace, iteration.parent_id)
    if needs_weights(chosen.name):
        require_weights(weights)
    return MAKERS[chosen.name](weights, settings.generation, settings.seed)


async def _listen(context: StageContext, generator: Generator) -> None:
    """Hold the generator while the supervisor says so; a stop lets what is in hand finish."""
    held = False
    while True:
        wanted = context.commands.is_paused() and not context.commands.should_stop()
        if wanted != held:
            held = wanted
            await (generator.pause() if wanted else generator.resume())
        await asyncio.sleep(_LISTEN_SECONDS)
