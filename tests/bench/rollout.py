"""Throughput of rollouts in flow pace on vLLM, against plain `LLM.chat` and against one request at a time.

The flow runs as in production: attempts, verdicts, reflections and corrections through one AsyncLLM, every row
committed to a real store. The prompts it sent are then given to `LLM.chat` all at once, known in advance, with
the same sampling; and those of some questions one by one, in the order of the method. All three in one run.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.gauges import Gauges
from engine.generation.base import Generated, GenerationRequest, Generator, PolicyWeights
from engine.generation.vllm import CPU_BLOCK_TOKENS, VllmGenerator, cpu_dtype
from engine.init import init_workspace
from engine.journal import StoreJournal
from engine.judging import Judges
from engine.models import resolve_model
from engine.rollout import Rollout
from engine.situation import training_sweep
from engine.stages.prepare import model_cache
from engine.sweep import count
from engine.tasks import load_tasks
from store.connection import open_writer, write
from store.iterations import add_iteration
from store.policies import add_policy
from store.runs import add_few_shots, add_questions, add_run
from store.settings import RunSettings
from store.settings_file import parse_settings
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
train = 48
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

ONE_BY_ONE = 4
"""Questions whose prompts are sent one at a time: enough for a rate, few enough to wait for."""


class _Recording:
    """A generator that passes everything on and remembers what it was asked."""

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


def measure() -> list[Row]:
    """The two ratios."""
    settings = parse_settings(SETTINGS)
    model = resolve_model(settings.model, model_cache()).path
    with tempfile.TemporaryDirectory() as directory:
        flow, asked = asyncio.run(_flow(settings, model, Path(directory)))
    chat, one_by_one = _chat(settings, model, asked)
    return [
        Row(
            "rollouts in flow pace / LLM.chat, all prompts known",
            f"{flow:.0f} tok/s",
            f"{chat:.0f} tok/s",
            flow / chat,
            0.85,
            True,
        ),
        Row(
            "rollouts in flow pace / one request at a time",
            f"{flow:.0f} tok/s",
            f"{one_by_one:.0f} tok/s",
            flow / one_by_one,
            6,
            True,
        ),
    ]


async def _flow(settings: RunSettings, model: Path, directory: Path) -> tuple[float, list[GenerationRequest]]:
    """Tokens a second of the flow, and what it asked."""
    workspace = Workspace(directory / "workspace")
    init_workspace(workspace, "demo-cpu", None, replace=False)
    connection = open_writer(workspace.database)
    iteration_id = _prepare(connection, settings, model)
    generator = _Recording(VllmGenerator(PolicyWeights(1, "p00", model, model), settings.generation, settings.seed))
    await generator.start()
    await _warm_up(generator)
    progressed = training_sweep(connection, iteration_id)

    async def hold(reason: str | None) -> None:
        raise RuntimeError(reason)

    judges = Judges({task.name: task.kind for task in settings.tasks})
    rollout = Rollout(
        progressed.sweep,
        progressed.done,
        generator,
        judges.judge,
        StoreJournal(connection, hold),
        Gauges(count(progressed.sweep, progressed.done)),
        concurrency=settings.generation.concurrency,
        retries=0,
    )
    started = time.perf_counter()
    assert await rollout.run()
    seconds = time.perf_counter() - started
    await generator.close()
    connection.close()
    return generator.tokens / seconds, generator.asked


async def _warm_up(generator: _Recording) -> None:
    request = GenerationRequest(({"role": "user", "content": "Say hello."},), 16, 0.0, 1.0, 0)
    await asyncio.gather(*(generator.generate(request) for _ in range(8)))
    generator.asked.clear()
    generator.tokens = 0


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
            add_few_shots(connection, run_id, name, [(shown.question, shown.answer) for shown in task.few_shot])
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


def _chat(settings: RunSettings, model: Path, asked: list[GenerationRequest]) -> tuple[float, float]:
    """Tokens a second of one `LLM.chat` over all prompts, and of a loop that sends some of them one by one."""
    from vllm import LLM, SamplingParams

    generation = settings.generation
    llm = LLM(
        model=str(model),
        dtype=cpu_dtype(),
        seed=settings.seed,
        max_model_len=generation.max_model_len,
        max_num_seqs=generation.concurrency,
        enforce_eager=True,
        enable_prefix_caching=True,
        block_size=CPU_BLOCK_TOKENS,
    )

    def run(requests: list[GenerationRequest]) -> int:
        outputs = llm.chat(
            [list(request.messages) for request in requests],
            [
                SamplingParams(max_tokens=request.max_tokens, temperature=request.temperature, top_p=request.top_p)
                for request in requests
            ],
            use_tqdm=False,
        )
        return sum(len(output.outputs[0].token_ids) for output in outputs)

    run([GenerationRequest(({"role": "user", "content": "Say hello."},), 16, 0.0, 1.0, 0)] * 8)
    llm.reset_prefix_cache()
    started = time.perf_counter()
    tokens = run(asked)
    chat = tokens / (time.perf_counter() - started)
    llm.reset_prefix_cache()
    some = _of_some_questions(asked)
    started = time.perf_counter()
    tokens = sum(run([request]) for request in some)
    return chat, tokens / (time.perf_counter() - started)


def _of_some_questions(asked: list[GenerationRequest]) -> list[GenerationRequest]:
    """Every request on a few of the questions that were reflected on, in the order a simple loop would send them."""
    reflected = [request.messages[0]["content"] for request in asked if len(request.messages) > 1]
    chosen = list(dict.fromkeys(reflected))[:ONE_BY_ONE]
    questions = [first.split("\n\n")[0] for first in chosen]
    return [
        request for question in questions for request in asked if request.messages[0]["content"].startswith(question)
    ]
