"""Tests of judging: both orders, consistent choices only, no request sent or paid for twice, and a stop that loses
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.curation.judge.ranking import CannotJudge, JudgedPair, PairRanking, Tally, TryAgain
from engine.errors import JudgeUnavailable
from engine.generation.base import GenerationRequest
from engine.generation.scripted import ScriptedGenerator
from engine.models.weights import PolicyWeights
from engine.prompts.judge import JUDGE_PROMPT_VERSION
from engine.prompts.rollout import Message
from engine.stages.judge_pairs import StoreLedger
from store.curation.judge_requests import add_request, answer_request, judge_requests
from store.curation.preferences import preferences_of
from store.database.connection import write
from store.settings import GenerationSection
from tests.support.rows import Rows

Say = Callable[[str, str, int], str]
"""A judge's reply to the texts shown as A and as B, after a number of earlier requests."""


class FakeJudge:
    """Returns prepared replies; records the orders in which it was called."""

    def __init__(self, say: Say) -> None:
        self.orders: list[tuple[str, str]] = []
        self.at_once = self.widest = 0
        self._say = say

    async def ask(self, messages: tuple[Message, ...]) -> str:
        content = messages[0]["content"]
        first, second = content.split("Reflection A:\n")[1].split("\n\nReflection B:\n")
        order = (first, second.split("\n\n")[0])
        self.orders.append(order)
        self.at_once += 1
        self.widest = max(self.widest, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return self._say(*order, len(self.orders) - 1)


def smaller(first: str, second: str, _: int) -> str:
    """A judge with a preference: the text that is first in alphabetical order."""
    return f"Better: {'A' if first < second else 'B'}"


def always_a(first: str, second: str, _: int) -> str:
    """A judge that always chooses A."""
    return "Better: A"


class Desk:
    """Pairs of real rows, and a ledger over the real store."""

    def __init__(self, rows: Rows, number: int) -> None:
        self.rows = rows
        self.pairs = []
        for position in range(number):
            question = rows.question(f"q{position}")
            attempt = rows.attempt(question)
            first, _ = rows.corrected(attempt, question, text=f"{position} b")
            second, _ = rows.corrected(attempt, question, instruction="1-2-1", text=f"{position} a")
            self.pairs.append(JudgedPair(first, second, "Q?", "It is 4.", f"{position} b", f"{position} a"))

    def ledger(self, budget: int = 1000, judge: str = "fake") -> StoreLedger:
        return StoreLedger(self.rows.connection, self.rows.iteration, judge, budget)

    def run(
        self,
        judge: FakeJudge,
        *,
        budget: int = 1000,
        name: str = "fake",
        concurrency: int = 1,
        retries: int = 2,
        unclear_retries: int = 1,
        should_stop: Callable[[], bool] = lambda: False,
        is_paused: Callable[[], bool] = lambda: False,
        pairs: list[JudgedPair] | None = None,
    ) -> Tally:
        judging = PairRanking(
            judge,
            self.ledger(budget, name),
            concurrency=concurrency,
            retries=retries,
            unclear_retries=unclear_retries,
            should_stop=should_stop,
            is_paused=is_paused,
            backoff=0.0,
        )
        return asyncio.run(judging.run(self.pairs if pairs is None else pairs))

    def preferences(self) -> list[tuple[int, int, float | None, str]]:
        found = preferences_of(self.rows.connection, self.rows.iteration)
        return [(one.chosen_id, one.rejected_id, one.confidence, one.note) for one in found]

    def answers(self) -> list[str | None]:
        return [request.answer for request in judge_requests(self.rows.connection, self.rows.iteration)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Three pairs to judge."""
    rows = Rows(tmp_path / "reflectevo.db")
    yield Desk(rows, 3)
    rows.connection.close()


def test_a_consistent_judge_is_asked_in_both_orders_and_believed(desk: Desk) -> None:
    """The choice is the same in both orders."""
    judge = FakeJudge(smaller)
    tally = desk.run(judge)
    assert (tally.consistent, tally.requests, tally.ended) == (3, 6, "done")
    assert judge.orders[:2] == [("0 b", "0 a"), ("0 a", "0 b")]
    assert desk.preferences() == [(pair.second_id, pair.first_id, 1.0, "") for pair in desk.pairs]
    assert desk.answers() == ["second", "first"] * 3


def test_a_judge_that_goes_by_position_decides_nothing(desk: Desk) -> None:
    """Stored as a row of confidence 0, so that the pair isn't judged again."""
    tally = desk.run(FakeJudge(always_a))
    assert (tally.consistent, tally.inconsistent) == (0, 3)
    assert desk.preferences() == [(pair.first_id, pair.second_id, 0.0, "judge inconsistent") for pair in desk.pairs]


def test_nonsense_is_asked_again_within_bounds_and_then_undecided(desk: Desk) -> None:
    """A reply that names neither is unclear; the other order is not requested."""
    tally = desk.run(FakeJudge(lambda *_: "Both are good."), pairs=desk.pairs[:1], unclear_retries=2)
    assert (tally.undecided, tally.unclear, tally.requests) == (1, 3, 3)
    assert desk.answers() == ["unclear"] * 3
    ((_, _, confidence, note),) = desk.preferences()
    assert (confidence, note) == (0.0, "judge undecided: its replies chose neither")


def test_one_clear_reply_after_nonsense_counts(desk: Desk) -> None:
    """A model may recover on a repetition."""
    judge = FakeJudge(lambda first, second, n: smaller(first, second, n) if n % 2 else "Hm.")
    assert desk.run(judge).consistent == 3
    assert desk.answers() == ["unclear", "second", "unclear", "first"] * 3


def test_a_pair_that_cannot_be_judged_leaves_the_others_alone(desk: Desk) -> None:
    """A pair that is too long for the judge must not stop the stage."""

    def say(first: str, second: str, n: int) -> str:
        if first.startswith("1"):
            raise CannotJudge("too long")
        return smaller(first, second, n)

    tally = desk.run(FakeJudge(say))
    assert (tally.consistent, tally.undecided, tally.ended) == (2, 1, "done")
    assert [note for *_, note in desk.preferences()] == ["", "judge undecided: it could not reply", ""]


def test_a_judge_that_fails_for_long_ends_the_go_and_keeps_what_it_said(desk: Desk) -> None:
    """Bounded retries, then a message for the operator; a resume requests only what is missing."""

    def say(first: str, second: str, n: int) -> str:
        if n >= 3:
            raise TryAgain("the endpoint answers 503")
        return smaller(first, second, n)

    with pytest.raises(JudgeUnavailable, match=r"answers 503, 3 times in a row; what was judged is kept"):
        desk.run(FakeJudge(say))
    assert desk.answers() == ["second", "first", "second", "failed", "failed", "failed"]
    assert len(desk.preferences()) == 1
    judge = FakeJudge(smaller)
    assert desk.run(judge, pairs=desk.pairs[1:]).consistent == 2
    assert judge.orders == [("1 a", "1 b"), ("2 b", "2 a"), ("2 a", "2 b")], "the answered order is not asked again"


def test_a_judge_that_comes_back_is_asked_on(desk: Desk) -> None:
    """Only consecutive failures count."""
    judge = FakeJudge(lambda a, b, n: smaller(a, b, n) if n % 3 == 2 else (_ for _ in ()).throw(TryAgain("busy")))
    assert desk.run(judge).consistent == 3


def test_the_budget_is_counted_in_rows_and_holds_over_resumes(desk: Desk) -> None:
    """A kill between request and reply has spent the request; judging resumes once the budget is raised."""
    with write(desk.rows.connection):
        add_request(
            desk.rows.connection,
            desk.rows.iteration,
            desk.pairs[0].first_id,
            desk.pairs[0].second_id,
            judge="fake",
            prompt_version=JUDGE_PROMPT_VERSION,
            budget=9,
        )
    tally = desk.run(FakeJudge(smaller), budget=5)
    assert (tally.consistent, tally.requests, tally.ended) == (2, 4, "budget")
    again = desk.run(FakeJudge(smaller), budget=5, pairs=desk.pairs[2:])
    assert (again.requests, again.ended) == (0, "budget")
    assert desk.run(FakeJudge(smaller), budget=7, pairs=desk.pairs[2:]).ended == "done"
    assert len(desk.answers()) == 7
    assert len(desk.preferences()) == 3


def test_no_pair_is_begun_that_the_budget_cannot_end(desk: Desk) -> None:
    """Half a judgement wastes a request, also with many concurrent ones."""
    tally = desk.run(FakeJudge(smaller), budget=5, concurrency=8)
    assert (tally.consistent, tally.requests, tally.ended) == (2, 4, "budget")


def test_repetitions_stop_at_the_budget(desk: Desk) -> None:
    """The limit is enforced by the database, whatever fails."""
    tally = desk.run(FakeJudge(lambda *_: "Hm."), budget=5, unclear_retries=100)
    assert (tally.requests, tally.ended) == (5, "budget")
    assert len(desk.answers()) == 5


def test_an_answer_under_another_prompt_or_by_another_judge_is_no_answer(desk: Desk) -> None:
    """Judgements of different judges must not be mixed within a pair."""
    pair = desk.pairs[0]
    for judge, version in (("other", JUDGE_PROMPT_VERSION), ("fake", "0")):
        with write(desk.rows.connection):
            request = add_request(
                desk.rows.connection,
                desk.rows.iteration,
                pair.first_id,
                pair.second_id,
                judge=judge,
                prompt_version=version,
                budget=9,
            )
            answer_request(desk.rows.connection, request or 0, "first")
    assert desk.run(FakeJudge(smaller), pairs=[pair]).requests == 2


def test_a_stop_keeps_what_was_said_and_a_resume_asks_the_rest(desk: Desk) -> None:
    """Killed or stopped after any number of requests: the same judgements, none requested twice."""
    for after in range(6):
        judge = FakeJudge(smaller)
        tally = desk.run(judge, should_stop=lambda judge=judge, after=after: len(judge.orders) >= after)  # type: ignore[misc]
        assert tally.ended == "stopped"
        known = {one for pair in desk.preferences() for one in pair[:2]}
        left = [pair for pair in desk.pairs if pair.first_id not in known]
        rest = FakeJudge(smaller)
        assert desk.run(rest, pairs=left).ended == "done"
        assert len(judge.orders) + len(rest.orders) == 6
        assert len(desk.preferences()) == 3
        desk.rows.connection.execute("DELETE FROM preferences")
        desk.rows.connection.execute("DELETE FROM judge_requests")


def test_a_pause_holds_requests_until_it_ends(desk: Desk) -> None:
    """No request is sent while the iteration is paused; a stop ends the pause."""
    looks = 0

    def paused() -> bool:
        nonlocal looks
        looks += 1
        return looks < 3

    judge = FakeJudge(smaller)
    assert desk.run(judge, is_paused=paused).consistent == 3
    assert looks >= 3
    stopped = FakeJudge(smaller)
    assert desk.run(stopped, is_paused=lambda: True, should_stop=lambda: True).ended == "stopped"
    assert stopped.orders == []


def test_many_are_asked_at_once(desk: Desk) -> None:
    """Up to the concurrency limit, never beyond."""
    judge = FakeJudge(smaller)
    desk.run(judge, concurrency=2)
    assert judge.widest == 2


@pytest.mark.parametrize("marker", ["Better: A", "Answer:"])
def test_the_scripted_generator_answers_a_judge_in_form(marker: str, tmp_path: Path) -> None:
    """A deterministic choice, whatever the texts that are judged."""
    weights = PolicyWeights(1, "p00", tmp_path, tmp_path)
    generator = ScriptedGenerator(weights, GenerationSection(generator="scripted"), 0)

    async def reply(content: str) -> str:
        request = GenerationRequest(({"role": "user", "content": content},), 9, 0.0, 1.0, 0)
        return (await generator.generate(request)).text

    texts = [asyncio.run(reply(f"{marker} {number}")) for number in range(20)]
    assert texts == [asyncio.run(reply(f"{marker} {number}")) for number in range(20)]
    assert (set(texts) == {"Better: A", "Better: B"}) is (marker == "Better: A")
