"""Has a judge rank pairs of reflections: each pair in both orders, kept only when the judge says the same both times.

A judge prefers what stands first, or last; asking with swapped positions and keeping what agrees is the known remedy.
Every request is written down before it is sent and every answer as it comes, so a restart asks nothing again and spends
no budget twice. Knows no model, no protocol and no database: a judge and a ledger come in.
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
"""Two reflections in the order in which they are shown."""

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 20.0
"""How long a stop waits for the replies in hand; they are lost after that, and asked for again on resume."""

_LONGEST_BACKOFF = 30.0


class TryAgain(Exception):
    """There was no reply, but there may be one later. `after`: seconds the judge asked to wait, None when it didn't.

    `counts` is False where the request was put wrongly and is put differently next time.
    """

    def __init__(self, reason: str, after: float | None = None, *, counts: bool = True) -> None:
        super().__init__(reason)
        self.after = after
        self.counts = counts


class CannotJudge(Exception):
    """This one request can't be answered, e.g. because it is too long; others may."""


class Judge(Protocol):
    """Somebody who ranks two reflections."""

    async def ask(self, messages: tuple[Message, ...]) -> str:
        """The reply to a judge's prompt.

        Raises:
            TryAgain: no reply this time.
            CannotJudge: no reply to this request, ever.
            JudgeUnavailable: no reply to any.
        """


class Ledger(Protocol):
    """Where requests and judgements are kept; each call returns once it is committed."""

    def known(self) -> Mapping[Order, Answer]:
        """The answers this judge gave before, by order."""

    def left(self) -> int:
        """Requests that the budget still has."""

    def spend(self, order: Order) -> int | None:
        """Spend a request; its id, or None when the budget is spent."""

    def answered(self, request_id: int, answer: Answer) -> None:
        """Record what came of a request."""

    def decided(self, chosen_id: int, rejected_id: int, confidence: float, note: str) -> None:
        """Record a judgement on a pair."""


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """Two reflections on one attempt, and what a judge is shown of them."""

    first_id: int
    second_id: int
    question: str
    """As asked, with its options."""
    attempt: str
    first: str
    second: str

    def messages(self, order: Order) -> tuple[Message, ...]:
        """The prompt that shows them in this order."""
        texts = {self.first_id: self.first, self.second_id: self.second}
        return judge_messages(self.question, self.attempt, texts[order[0]], texts[order[1]])


@dataclass(slots=True)
class Tally:
    """What became of the pairs. `unclear` counts replies that named neither reflection, `requests` all that were
    sent."""

    consistent: int = 0
    inconsistent: int = 0
    undecided: int = 0
    unclear: int = 0
    requests: int = 0
    ended: Literal["done", "stopped", "budget"] = "done"

    def words(self) -> str:
        """For an operator."""
        return (
            f"judge: {self.consistent} consistent, {self.inconsistent} inconsistent, {self.undecided} undecided; "
            f"{self.requests} requests, {self.unclear} unclear replies"
        )


@dataclass(slots=True)
class PairRanking:
    """One go at a list of pairs.

    `retries`: how often a request without a reply is sent again. `unclear_retries`: how often a reply that names
    neither is asked for again. `backoff`: seconds before the first repetition, doubled for each further one.
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
        """Judge the pairs until all are judged, a stop is asked for, or the budget is spent.

        Raises:
            JudgeUnavailable: the judge can't be asked any more; what it said until then is kept.
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
        """Ask about a pair in both orders; False when it is left for another go."""
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
        """What the judge says of one order, after repetitions; None when stopped or when the budget is spent."""
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
        """Wait out a pause; False when a stop is asked for."""
        while self.is_paused() and not self.should_stop():
            await asyncio.sleep(_POLL_SECONDS)
        return not self.should_stop()

    async def _wait(self, seconds: float) -> None:
        left = min(seconds, _LONGEST_BACKOFF)
        while left > 0 and not self.should_stop():
            await asyncio.sleep(min(left, _POLL_SECONDS))
            left -= _POLL_SECONDS
