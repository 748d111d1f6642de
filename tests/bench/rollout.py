"""Throughput of rollouts in flow pace on vLLM, against plain `LLM.chat`, one request at a time, and barriers.

The flow runs as in production: attempts, verdicts, reflections and corrections through one AsyncLLM, every row
committed to a real store. The prompts it sent are then given to `LLM.chat` in a single call, known in advance, with
the same sampling; and those of some questions one by one, in the order of the method. Barrier pace is the same
engine, store and questions with each phase waiting for the last text of the one before. The three take turns, so that a
machine whose speed drifts slows all of them alike.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from engine.commands.init import init_workspace
from engine.generation.base import Generated, GenerationRequest, Generator
from engine.generation.vllm import CPU_BLOCK_TOKENS, VllmGenerator, cpu_dtype
from engine.models.resolve import model_cache, resolve_model
from engine.models.weights import PolicyWeights
from engine.rollout.gauges import Gauges
from engine.rollout.load_plan import training_plan
from engine.rollout.plan import count
from engine.rollout.runner import RolloutRunner
from engine.rollout.store_writer import StoreWriter
from engine.tasks import load_tasks
from engine.tasks.verifier_pool import VerifierPool
from store.database.connection import open_writer, write
from store.runs.iterations import add_iteration
from store.runs.policies import add_policy
from store.runs.runs import FewShot, add_few_shots, add_questions, add_run
from store.settings import ROLLOUT_STAGES, RunSettings
from store.settings.toml_file import parse_settings
from store.workspace import Workspace
from tests.bench.measure import Row

SETTINGS = """
name = "bench"
model = "smollm2-135m-instruct"
seed = 11

[[tasks]]
kind = "procedural"
name = "letter_counting"
dataset = "letter_counting"
options = { min_words = 3, max_words = 5 }
train = 64
test = 0

[generation]
generator = "vllm"
concurrency = 64
max_model_len = 1024

[attempt]
max_tokens = 48

[reflection]
instructions = "random:1"
samples = 2
max_tokens = 96

[correction]
max_tokens = 48
temperature = 0.7
show_previous_attempt = false
"""

ONE_BY_ONE = 2
"""Questions whose prompts are sent one at a time: enough for a rate, few enough for a short run."""


class _Recording:
    """A generator that passes on every request and records it."""

    def __init__(self, inner: Generator) -> None:
        self.name = inner.name
        self._inner = inner
        self.asked: list[GenerationRequest] = []
        self.tokens = 0

    async def start(self) -> None:
        await self._inner.start()

    async def generate(self, request: GenerationRequest, on_text: Callable[[str], None] | None = None) -> Generated:
        self.asked.append(request)
        generated = await self._inner.generate(request, on_text)
        self.tokens += generated.completion_tokens
        return generated

    async def pause(self) -> None:
        await self._inner.pause()

    async def resume(self) -> None:
        await self._inner.resume()

    async def close(self) -> None:
        await self._inner.close()


ROUNDS = 3
"""Rounds in which the flow and its baselines take turns; the ratio of a round compares neighbours in time."""


@dataclass(frozen=True)
class _Round:
    """Tokens a second of each variant, within one round."""

    flow: float
    chat: float
    one_by_one: float
    barrier: float


def measure() -> list[Row]:
    """Return the three ratios: each the median of the rounds, because the speed of a shared machine drifts."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    settings = parse_settings(SETTINGS)
    model = resolve_model(settings.model, model_cache()).path
    rounds = asyncio.run(_rounds(settings, model))
    return [
        _row("rollouts in flow pace / LLM.chat, all prompts known", rounds, lambda one: one.chat, 0.92),
        _row("rollouts in flow pace / one request at a time", rounds, lambda one: one.one_by_one, 10),
        _row("rollouts in flow pace / barrier pace", rounds, lambda one: one.barrier, 1.15),
    ]


def _row(what: str, rounds: list[_Round], baseline: Callable[[_Round], float], bound: float) -> Row:
    ordered = sorted(rounds, key=lambda one: one.flow / baseline(one))
    middle = ordered[len(ordered) // 2]
    ours, theirs = f"{middle.flow:.0f} tok/s", f"{baseline(middle):.0f} tok/s"
    return Row(what, ours, theirs, middle.flow / baseline(middle), bound, True)


async def _rounds(settings: RunSettings, model: Path) -> list[_Round]:
    """Run all rounds with both engines loaded; the one that doesn't work sleeps."""
    generator = VllmGenerator(PolicyWeights(1, "p00", model, model), settings.generation, settings.seed)
    await generator.start()
    await _warm_up(generator)
    baseline = _Baseline(settings, model)
    rounds = []
    for _ in range(ROUNDS):
        flow, asked = await _rollouts(settings, model, generator, [ROLLOUT_STAGES])
        barrier, _ = await _rollouts(settings, model, generator, [(stage,) for stage in ROLLOUT_STAGES])
        rounds.append(_Round(flow, baseline.all_at_once(asked), baseline.one_by_one(asked), barrier))
    await generator.close()
    return rounds


async def _rollouts(
    settings: RunSettings, model: Path, generator: VllmGenerator, passes: Sequence[Sequence[str]]
) -> tuple[float, list[GenerationRequest]]:
    """Return the tokens a second of rollouts in a new store, and their requests.

    Each pass over the questions does some stages and waits for its last text; with one pass for all stages nothing
    waits.
    """
    # Measured with an empty prefix cache.
    await generator._engine.reset_prefix_cache()
    recording = _Recording(generator)
    verifiers = VerifierPool({task.name: task.kind for task in settings.tasks})
    with tempfile.TemporaryDirectory() as directory:
        workspace = Workspace(Path(directory) / "workspace")
        init_workspace(workspace, "demo-cpu", None, replace=False)
        with closing(open_writer(workspace.database)) as connection:
            iteration_id = _prepare(connection, settings, model)
            started = time.perf_counter()
            for stages in passes:
                progressed = training_plan(connection, iteration_id, stages)
                rollout = RolloutRunner(
                    progressed.plan,
                    progressed.done,
                    recording,
                    verifiers.verify,
                    StoreWriter(connection, _hold),
                    Gauges(count(progressed.plan, progressed.done)),
                    concurrency=settings.generation.concurrency,
                    retries=0,
                )
                assert await rollout.run()
            seconds = time.perf_counter() - started
    verifiers.close()
    return recording.tokens / seconds, recording.asked


async def _hold(reason: str | None) -> None:
    raise RuntimeError(reason)


async def _warm_up(generator: Generator) -> None:
    request = GenerationRequest(({"role": "user", "content": "Say hello."},), 16, 0.0, 1.0, 0)
    await asyncio.gather(*(generator.generate(request) for _ in range(8)))


def _prepare(connection: Any, settings: RunSettings, model: Path) -> int:
    values = settings.model_dump(mode="json")
    with write(connection):
        run_id = add_run(connection, settings.name, settings.model, values, "")
        for name, task in load_tasks(settings, Path()).items():
            rows = [
                (q.task, q.domain, q.split, q.text, q.options, q.reference, q.payload, q.content_hash)
                for q in (*task.train, *task.test)
            ]
            add_questions(connection, run_id, rows)
            add_few_shots(connection, run_id, name, [FewShot(*astuple(shown)) for shown in task.few_shot])
        policy_id = add_policy(
            connection,
            run_id=run_id,
            parent_id=None,
            iteration_id=None,
            name="p00",
            setting="base",
            path=str(model),
            base_model=str(model),
            state="promoted",
            details={},
        )
        return add_iteration(connection, run_id, policy_id, values, 0)


class _Baseline:
    """Plain vLLM, as a caller would use it who knows all the prompts in advance."""

    def __init__(self, settings: RunSettings, model: Path) -> None:
        from vllm import LLM

        generation = settings.generation
        self._llm = LLM(
            model=str(model),
            dtype=cpu_dtype(),
            seed=settings.seed,
            max_model_len=generation.max_model_len,
            max_num_seqs=generation.concurrency,
            enforce_eager=True,
            enable_prefix_caching=True,
            block_size=CPU_BLOCK_TOKENS,
        )
        self._run([GenerationRequest(({"role": "user", "content": "Say hello."},), 16, 0.0, 1.0, 0)] * 8)

    def all_at_once(self, asked: list[GenerationRequest]) -> float:
        """Return the tokens a second of one `LLM.chat` over all prompts."""
        self._llm.reset_prefix_cache()
        started = time.perf_counter()
        return self._run(asked) / (time.perf_counter() - started)

    def one_by_one(self, asked: list[GenerationRequest]) -> float:
        """Return the tokens a second of a loop that sends the prompts of some questions one at a time."""
        self._llm.reset_prefix_cache()
        some = _of_some_questions(asked)
        started = time.perf_counter()
        return sum(self._run([request]) for request in some) / (time.perf_counter() - started)

    def _run(self, requests: list[GenerationRequest]) -> int:
        from vllm import SamplingParams

        outputs = self._llm.chat(
            [list(request.messages) for request in requests],
            [
                SamplingParams(max_tokens=request.max_tokens, temperature=request.temperature, top_p=request.top_p)
                for request in requests
            ],
            use_tqdm=False,
        )
        return sum(len(output.outputs[0].token_ids) for output in outputs)


def _of_some_questions(asked: list[GenerationRequest]) -> list[GenerationRequest]:
    """Return every request on a few of the questions that were reflected on, in the order a simple loop would send
    them.
    """
    reflected = [request.messages[0]["content"] for request in asked if len(request.messages) > 1]
    chosen = list(dict.fromkeys(reflected))[:ONE_BY_ONE]
    questions = [first.split("\n\n")[0] for first in chosen]
    return [
        request for question in questions for request in asked if request.messages[0]["content"].startswith(question)
    ]
