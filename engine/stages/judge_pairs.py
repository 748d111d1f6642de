"""The judging part of the curate stage: creates the configured judge, sends it the open pairs, and stores every
request and preference immediately.

A generator is loaded only if the policy itself is the judge and there are open pairs.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from engine.curation.judge.endpoint import EndpointJudge
from engine.curation.judge.policy import SelfJudge
from engine.curation.judge.ranking import Answer, Judge, JudgedPair, Order, PairRanking, Tally
from engine.generation.serving import serve
from engine.models.weights import weights_of
from engine.prompts.judge import JUDGE_PROMPT_VERSION
from engine.stages.context import StageContext
from store.curation.judge_requests import add_request, answer_request, judge_requests, requests_spent
from store.curation.preferences import insert_preference
from store.database.connection import write
from store.records import Iteration
from store.runs.iterations import set_progress
from store.runs.policies import get_policy
from store.settings import RunSettings


class StoreLedger:
    """Stores requests and preferences, each in its own transaction.

    Args:
        connection: a writer.
        iteration_id: the iteration whose pairs are judged.
        judge: name of the judge, as in `preferences.reviewer`.
        budget: maximum number of requests in the iteration.
        on_decided: called inside the transaction of each preference.
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
        """Return this judge's earlier choices under the same prompt version, by order of the pair."""
        return {
            (request.first_id, request.second_id): request.answer
            for request in judge_requests(self._connection, self._iteration_id)
            if request.answer in ("first", "second")
            and (request.judge, request.prompt_version) == (self._judge, JUDGE_PROMPT_VERSION)
        }

    def left(self) -> int:
        """Return the number of requests left in the budget."""
        return self._budget - requests_spent(self._connection, self._iteration_id)

    def spend(self, order: Order) -> int | None:
        """Record a request and return its id; None when the budget is spent."""
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
        """Record the outcome of a request."""
        with write(self._connection):
            answer_request(self._connection, request_id, answer)

    def decided(self, chosen_id: int, rejected_id: int, confidence: float, note: str) -> None:
        """Record a preference. `confidence` is between 0 and 1."""
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
    """Judge the pairs that `open_pairs` returns until it returns none, a stop is requested, or the budget is spent.

    Args:
        context: the context of the stage.
        iteration: the iteration.
        settings: its settings; `judge.by` is `self` or `endpoint`.
        open_pairs: returns the pairs still to be judged, given the preferences so far.
        trajectories: number of curated trajectories, for the stage's progress.

    Raises:
        JudgeUnavailable: the judge can't be queried.
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
                # With greedy decoding a retry would give the same text.
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
    """Start the configured judge and yield it with its name."""
    if settings.judge.by == "endpoint":
        endpoint = EndpointJudge(settings.judge)
        await endpoint.start()
        try:
            yield endpoint, f"endpoint {settings.judge.model}"
        finally:
            await endpoint.close()
        return
    assert iteration.parent_id is not None
    weights = weights_of(context.connection, context.workspace, iteration.parent_id)
    serving = serve(settings.generation, weights, weights, settings.seed, context.warn)
    commands = context.commands
    try:
        await serving.start()
        # After a stop the requests in flight finish, which they never would in a paused generator.
        following = asyncio.create_task(serving.follow(lambda: commands.is_paused() and not commands.should_stop()))
        try:
            name = get_policy(context.connection, iteration.parent_id).name
            yield SelfJudge(serving.reasoner, settings.judge.max_tokens), f"self {name}"
        finally:
            following.cancel()
    finally:
        await serving.close()
