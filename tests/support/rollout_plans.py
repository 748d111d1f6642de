"""Small generators, verifiers and writers for tests of the rollout: the real store, no model, no sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from engine.errors import GenerationFailed
from engine.generation.base import Generated, GenerationRequest
from engine.prompts.rollout import SECOND_TRY, Problem, one_stage_completion
from engine.rollout.gauges import Gauges
from engine.rollout.plan import Baselines, Done, ReflectionKey, RolloutPlan, count, gather_done
from engine.rollout.reuse import Reusable
from engine.rollout.runner import RolloutRunner
from engine.rollout.store_writer import StoreWriter
from engine.tasks.base import Verification
from store.records import StoredQuestion
from store.rollouts import attempts
from store.runs.runs import run_questions
from store.settings import CorrectionSection, Decoding, PreviousAttempt
from tests.support.rows import Rows

StageName = Literal["attempt", "reflect", "correct", "retry", "both"]
KEYS: tuple[ReflectionKey, ...] = (("1-1-1", 0), ("1-1-1", 1), ("2-3-2", 0))


def stage_of(request: GenerationRequest) -> StageName:
    """Return the stage of a request, read from its last message."""
    last = request.messages[-1]["content"]
    if request.messages[-1]["role"] == "assistant":
        return "correct"
    if f"'{SECOND_TRY}'" in last:
        return "both"
    if "Reflect on your attempt" in last:
        return "reflect"
    if "Use this reflection" in last or "Use this advice" in last:
        return "correct"
    return "retry" if "Solve the question again" in last else "attempt"


def question_of(request: GenerationRequest) -> str:
    """Return the question of a request.

    It is the first line of its first message, or the last but one part of a message that quotes an attempt before it.
    """
    asked = request.messages[0]["content"]
    if asked.startswith("A first try"):
        return asked.split("\n\n")[-2]
    return asked.splitlines()[0]


def reply_to(request: GenerationRequest) -> str:
    """Return a text that names its stage, its question and its seed, so that it can be recognised in other prompts."""
    if stage_of(request) == "both":
        place = f"of {question_of(request)} seed {request.seed}]"
        return one_stage_completion(f"[reflect {place}", f"[correct {place}")
    return f"[{stage_of(request)} of {question_of(request)} seed {request.seed}]"


def generated(text: str, seed: int = 0) -> Generated:
    """Return a finished text."""
    return Generated(text, 7, 3, 5, "stop", 0.01, seed)


class FakeGenerator:
    """Answers with `reply_to` and records every request; `before` may wait, or raise, before an answer."""

    name = "fake"

    def __init__(self, before: Callable[[GenerationRequest], Awaitable[None]] | None = None) -> None:
        self.requests: list[GenerationRequest] = []
        self.in_flight = 0
        self.widest = 0
        self.calls: list[str] = []
        self._before = before

    async def start(self) -> None:
        """Load nothing."""

    async def generate(self, request: GenerationRequest, on_text: Callable[[str], None] | None = None) -> Generated:
        """Return the reply that belongs to the request."""
        self.requests.append(request)
        self.in_flight += 1
        self.widest = max(self.widest, self.in_flight)
        try:
            await asyncio.sleep(0)
            if self._before is not None:
                await self._before(request)
        finally:
            self.in_flight -= 1
        return generated(reply_to(request), request.seed)

    async def pause(self) -> None:
        """Record the call."""
        self.calls.append("pause")

    async def resume(self) -> None:
        """Record the call."""
        self.calls.append("resume")

    async def close(self) -> None:
        """Release nothing."""

    def of(self, stage: StageName) -> list[GenerationRequest]:
        """Return the requests of one stage, in order."""
        return [request for request in self.requests if stage_of(request) == stage]


async def verify(question: StoredQuestion, reply: str, finish_reason: str = "stop") -> Verification:
    """Return the verdict that the question names for an attempt, and one that depends on the text for a correction."""
    guess = "correct" if sum(map(ord, reply)) % 3 == 0 else "incorrect"
    verdict = question.text.split()[0] if reply.startswith("[attempt") else guess
    return Verification(verdict, "A", "rule", None, "")  # type: ignore[arg-type]


def add_questions(rows: Rows, verdicts: Mapping[str, int] | None = None, split: str = "train") -> None:
    """Add questions whose first word is the verdict of their attempt."""
    for verdict, number in (verdicts or {"incorrect": 3, "correct": 2, "unverified": 1}).items():
        for position in range(number):
            rows.question(f"{verdict} {split} {position}", split=split)


def make_plan(
    rows: Rows,
    *,
    keys: tuple[ReflectionKey, ...] = KEYS,
    reflect_on_all: bool = False,
    retries: int = 0,
    votes: int = 0,
    rounds: int = 1,
    stages: tuple[str, ...] = ("attempt", "reflect", "correct"),
    show_previous_attempt: PreviousAttempt = True,
    reflector: int | None = None,
    reusable: Reusable | None = None,
    one_generation: bool = False,
    correction_samples: int = 1,
) -> RolloutPlan:
    """Return a plan over the training questions of the run."""
    questions = run_questions(rows.connection, rows.run, "train")
    return RolloutPlan(
        iteration_id=rows.iteration,
        iteration_number=1,
        policy_id=rows.policy,
        reflector_id=reflector or rows.policy,
        protocol="",
        questions=tuple(questions),
        problems={question.id: Problem(question.text, "Answer with a letter.") for question in questions},
        draws={question.id: keys for question in questions},
        attempt=Decoding(max_tokens=10),
        reflection=Decoding(max_tokens=20, temperature=0.8),
        correction=CorrectionSection(
            max_tokens=30,
            show_previous_attempt=show_previous_attempt,
            samples=correction_samples,
            temperature=0.7 if correction_samples > 1 else 0.0,
        ),
        reflect_on_all=reflect_on_all,
        stages=frozenset(stages),
        seed=5,
        rounds=rounds,
        baselines=Baselines(
            retries=retries,
            retry=Decoding(max_tokens=30),
            votes=votes,
            vote=Decoding(max_tokens=10, temperature=0.7),
        ),
        reusable=reusable or Reusable(),
        one_generation=one_generation,
    )


def stored(rows: Rows) -> dict[int, Done]:
    """Return the stored rows of the iteration's rollouts."""
    return gather_done(
        attempts.rollout_attempts(rows.connection, rows.iteration),
        attempts.rollout_reflections(rows.connection, rows.iteration),
    )


async def no_hold(reason: str | None) -> None:
    """Return no hold: the disk of these tests doesn't fill up."""
    raise AssertionError(f"the writer had to wait: {reason}")


def make_rollout(
    rows: Rows,
    plan: RolloutPlan,
    generator: FakeGenerator,
    *,
    concurrency: int = 4,
    retries: int = 2,
    reflector: FakeGenerator | None = None,
) -> tuple[RolloutRunner, Gauges]:
    """Return a rollout of the plan's outstanding work, into the real store."""
    done = stored(rows)
    gauges = Gauges(count(plan, done))
    writer = StoreWriter(rows.connection, no_hold)
    rollout = RolloutRunner(
        plan,
        done,
        generator,
        verify,
        writer,
        gauges,
        concurrency=concurrency,
        retries=retries,
        reflector=reflector,
    )
    return rollout, gauges


def run_plan(rows: Rows, plan: RolloutPlan, generator: FakeGenerator | None = None, **options: int) -> FakeGenerator:
    """Run a plan to its end; returns the generator with its requests."""
    generator = generator or FakeGenerator()
    rollout, _ = make_rollout(rows, plan, generator, **options)
    assert asyncio.run(rollout.run())
    return generator


WORK = """
SELECT q.text, a.turn, coalesce(r.instruction, ''), coalesce(r.sample, 0), a.reasoning, a.verdict,
       coalesce(a.error, '') || a.sample
FROM attempts a JOIN questions q ON q.id = a.question_id LEFT JOIN reflections r ON r.id = a.reflection_id
UNION ALL
SELECT q.text, 0, r.instruction, r.sample, r.text, '', coalesce(r.error, '')
FROM reflections r JOIN attempts a ON a.id = r.attempt_id JOIN questions q ON q.id = a.question_id
UNION ALL
SELECT q.text, -1, t.instruction, coalesce(r.sample, 0), t.transition, '', ''
FROM trajectories t JOIN questions q ON q.id = t.question_id LEFT JOIN reflections r ON r.id = t.reflection_id
ORDER BY 1, 2, 3, 4, 5
"""
"""Attempts, reflections and trajectories by their content keys, with their texts."""


def work(rows: Rows) -> list[tuple[object, ...]]:
    """Return all stored work, without ids and times."""
    return [tuple(row) for row in rows.connection.execute(WORK)]


def failing(stage: StageName, times: int) -> FakeGenerator:
    """Return a generator that fails the first `times` requests of every generation step of a stage."""
    seen: dict[int, int] = {}

    async def before(request: GenerationRequest) -> None:
        if stage_of(request) == stage:
            seen[request.seed] = seen.get(request.seed, 0) + 1
            if seen[request.seed] <= times:
                raise GenerationFailed("the prompt is too long")

    return FakeGenerator(before)
