"""Pairwise ranking of reflections by a judge, in both orders; a ranking is used only if both orders agree.

LLM judges have a position bias; swapping the positions and keeping consistent rankings is the standard remedy. Every
request is recorded before it is sent and every answer when it arrives, so that a restart repeats no request and spends
no budget twice. Independent of models, protocols and the database, which are passed in as a judge and a ledger.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from engine.curation.d_pref import JUDGE_INCONSISTENT, JUDGE_UNDECIDED
from engine.errors import JudgeUnavailable
from engine.prompts.judge import judge_messages, parse_choice
from engine.prompts.rollout import Message

Answer = Literal["first", "second", "unclear", "failed"]
Order = tuple[int, int]
"""The ids of two reflections in the order in which they are shown."""

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 20.0
"""Seconds that a stop waits for outstanding replies; later ones are discarded and requested again on resume."""

_LONGEST_BACKOFF = 30.0


class TryAgain(Exception):
    """There was no reply, but a retry may succeed.

    Args:
        reason: the message for the operator.
        after: delay in seconds requested by the judge, or None.
        counts: whether the failure counts towards the limit of retries; False if the next request is corrected.
    """

    def __init__(self, reason: str, after: float | None = None, *, counts: bool = True) -> None:
        super().__init__(reason)
        self.after = after
        self.counts = counts


class CannotJudge(Exception):
    """This request can't be answered, e.g. because it is too long; others may succeed."""


class Judge(Protocol):
    """A model that ranks two reflections."""

    async def ask(self, messages: tuple[Message, ...]) -> str:
        """Return the reply to a judge's prompt.

        Raises:
            TryAgain: if there was no reply, but a retry may succeed.
            CannotJudge: if this request can never be answered.
            JudgeUnavailable: if no request can be answered.
        """


class Ledger(Protocol):
    """Storage of requests and rankings; each call returns once its row is committed."""

    def known(self) -> Mapping[Order, Answer]:
        """Return the earlier answers of this judge by order."""

    def left(self) -> int:
        """Return the number of requests left in the budget."""

    def spend(self, order: Order) -> int | None:
        """Record a request and return its id, or None if the budget is spent."""

    def answered(self, request_id: int, answer: Answer) -> None:
        """Record the answer to a request."""

    def decided(self, chosen_id: int, rejected_id: int, confidence: float, note: str) -> None:
        """Record the ranking of a pair, with a confidence from 0 to 1."""


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """Two reflections on one attempt, with the texts that the judge's prompt contains."""

    first_id: int
    second_id: int
    question: str
    """As asked, with its options."""
    attempt: str
    first: str
    second: str

    def messages(self, order: Order) -> tuple[Message, ...]:
        """Return the prompt that shows the reflections in this order."""
        texts = {self.first_id: self.first, self.second_id: self.second}
        return judge_messages(self.question, self.attempt, texts[order[0]], texts[order[1]])


@dataclass(slots=True)
class Tally:
    """Counts of the results of pairs. `unclear` counts replies that chose neither reflection, `requests` all requests
    that were sent."""

    consistent: int = 0
    inconsistent: int = 0
    undecided: int = 0
    unclear: int = 0
    requests: int = 0
    ended: Literal["done", "stopped", "budget"] = "done"

    def words(self) -> str:
        """Return a summary for the operator."""
        return (
            f"judge: {self.consistent} consistent, {self.inconsistent} inconsistent, {self.undecided} undecided; "
            f"{self.requests} requests, {self.unclear} unclear replies"
        )


@dataclass(slots=True)
class PairRanking:
    """One pass over a list of pairs.

    Args:
        judge: the judge.
        ledger: the storage of requests and rankings.
        concurrency: number of pairs judged concurrently.
        retries: number of retries of a request without a reply.
        unclear_retries: number of retries after a reply that chooses neither reflection.
        should_stop: polled; true ends the pass.
        is_paused: polled; true suspends new requests.
        backoff: seconds before the first retry, doubled for each further one.
    """

    judge: Judge
    ledger: Ledger
    concurrency: int
    retries: int
    unclear_retries: int
    should_stop: Callable[[], bool] = lambda: False
    is_paused: Callable[[], bool] = lambda: False
    backoff: float = 0.5
    tally: Tally = field(default_factory=Tally)
    _queue: deque[JudgedPair] = field(default_factory=deque)
    _known: dict[Order, Answer] = field(default_factory=dict)
    _reserved: int = 0
    _broke: bool = False

    async def run(self, pairs: Sequence[JudgedPair]) -> Tally:
        """Judge the pairs until all are judged, a stop is requested, or the budget is spent.

        Raises:
            JudgeUnavailable: if the judge no longer replies; the answers received so far are kept.
        """
        self._queue = deque(pairs)
        self._known = dict(self.ledger.known())
        workers = [asyncio.create_task(self._work()) for _ in range(min(self.concurrency, max(len(pairs), 1)))]
        try:
            await self._until_ended(workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if self._queue or self._broke:
            self.tally.ended = "budget" if self._broke else "stopped"
        return self.tally

    async def _until_ended(self, workers: list[asyncio.Task[None]]) -> None:
        waited = 0.0
        open_ones: set[asyncio.Task[None]] = set(workers)
        while open_ones and waited < _PATIENCE_SECONDS:
            ended, open_ones = await asyncio.wait(open_ones, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for worker in ended:
                worker.result()
            if self.should_stop():
                waited += _POLL_SECONDS
        if open_ones:
            self.tally.ended = "stopped"

    async def _work(self) -> None:
        while self._queue and not self._broke and not self.should_stop():
            pair = self._queue.popleft()
            if not await self._judge(pair):
                self._queue.appendleft(pair)

    async def _judge(self, pair: JudgedPair) -> bool:
        """Judge a pair in both orders; return False if it is left for a later pass."""
        orders: tuple[Order, Order] = ((pair.first_id, pair.second_id), (pair.second_id, pair.first_id))
        missing = sum(order not in self._known for order in orders)
        if self.ledger.left() - self._reserved < missing:
            self._broke = True
            return False
        self._reserved += missing
        try:
            winners = []
            for order in orders:
                answer = self._known.get(order) or await self._answer(pair, order)
                if answer is None:
                    return False
                if answer in ("unclear", "failed"):
                    why = "its replies chose neither" if answer == "unclear" else "it could not reply"
                    self._decide(pair, pair.first_id, 0.0, f"{JUDGE_UNDECIDED}: {why}")
                    self.tally.undecided += 1
                    return True
                winners.append(order[0] if answer == "first" else order[1])
        finally:
            self._reserved -= missing
        if winners[0] == winners[1]:
            self._decide(pair, winners[0], 1.0, "")
            self.tally.consistent += 1
        else:
            self._decide(pair, winners[0], 0.0, JUDGE_INCONSISTENT)
            self.tally.inconsistent += 1
        return True

    def _decide(self, pair: JudgedPair, chosen_id: int, confidence: float, note: str) -> None:
        other = pair.second_id if chosen_id == pair.first_id else pair.first_id
        self.ledger.decided(chosen_id, other, confidence, note)

    async def _answer(self, pair: JudgedPair, order: Order) -> Answer | None:
        """Return the judge's answer for one order after any retries; None if stopped or if the budget is spent."""
        failures = unclear = 0
        while True:
            if not await self._may_go_on():
                return None
            request_id = self.ledger.spend(order)
            if request_id is None:
                self._broke = True
                return None
            self.tally.requests += 1
            try:
                reply = await self.judge.ask(pair.messages(order))
            except TryAgain as problem:
                self.ledger.answered(request_id, "failed")
                failures += problem.counts
                if failures > self.retries:
                    raise JudgeUnavailable(
                        f"{problem}, {failures} times in a row; what was judged is kept; resume once it works again"
                    ) from None
                await self._wait(problem.after if problem.after is not None else self.backoff * 2 ** (failures - 1))
                continue
            except CannotJudge:
                self.ledger.answered(request_id, "failed")
                return "failed"
            except JudgeUnavailable:
                self.ledger.answered(request_id, "failed")
                raise
            choice = parse_choice(reply)
            answer: Answer = "unclear" if choice is None else "first" if choice == "A" else "second"
            self.ledger.answered(request_id, answer)
            if answer != "unclear":
                return answer
            self.tally.unclear += 1
            unclear += 1
            if unclear > self.unclear_retries:
                return "unclear"

    async def _may_go_on(self) -> bool:
        """Wait until a pause ends; return False if a stop is requested."""
        while self.is_paused() and not self.should_stop():
            await asyncio.sleep(_POLL_SECONDS)
        return not self.should_stop()

    async def _wait(self, seconds: float) -> None:
        left = min(seconds, _LONGEST_BACKOFF)
        while left > 0 and not self.should_stop():
            await asyncio.sleep(min(left, _POLL_SECONDS))
            left -= _POLL_SECONDS
