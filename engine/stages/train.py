"""The training child: curated rows become examples, a training runs, and the child policy is recorded."""

from __future__ import annotations

import sqlite3
import time

from engine import instructions
from engine.generation import installed
from engine.prompts import one_stage_completion, one_stage_messages, reflection_messages
from engine.situation import pool_of, problems_of, settings_of, weights_of
from engine.stages.context import StageContext
from engine.training.examples import Example, Pair
from engine.training.launch import TrainingRequest
from engine.training.launch import train as run_training
from engine.training.scripted import train_scripted
from store import rollouts
from store.connection import write
from store.curation import curated
from store.iterations import get_iteration, set_note, set_progress, update_iteration
from store.policies import add_policy, get_policy
from store.records import Iteration
from store.runs import run_questions
from store.settings import RunSettings
from store.telemetry import add_event, add_metrics


def training_examples(
    connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings
) -> tuple[Example, ...] | tuple[Pair, ...]:
    """The examples an iteration trains on, from its curated rows (paper, section 3.3); ids are curated rows'."""
    questions = run_questions(connection, iteration.run_id, "train")
    problems = problems_of(connection, iteration.run_id, settings, questions)
    pool = pool_of(connection, iteration.run_id)
    attempts = {attempt.id: attempt for attempt in rollouts.rollout_attempts(connection, iteration.id)}
    reflections = {reflection.id: reflection for reflection in rollouts.rollout_reflections(connection, iteration.id)}
    if settings.training.setting == "sft-one-stage":
        examples = []
        for row in curated(connection, iteration.id, "d_plus"):
            reflection, correction = reflections[row.reflection_id], attempts[int(row.correction_id or 0)]
            first = attempts[reflection.attempt_id]
            prompt = one_stage_messages(
                problems[first.question_id], first.reasoning, instructions.compose(reflection.instruction, pool)
            )
            reply = one_stage_completion(reflection.text, correction.reasoning)
            examples.append(Example(row.id, tuple(prompt), ({"role": "assistant", "content": reply},)))
        return tuple(examples)
    pairs = []
    for row in curated(connection, iteration.id, "d_pref" if settings.training.setting == "dpo-judge" else "d_pm"):
        chosen, rejected = reflections[row.reflection_id], reflections[int(row.rejected_reflection_id or 0)]
        first = attempts[chosen.attempt_id]
        # One prompt for both sides of a pair: the chosen reflection's instruction asks.
        asked = reflection_messages(
            problems[first.question_id], first.reasoning, instructions.compose(chosen.instruction, pool)
        )
        pairs.append(
            Pair(
                row.id,
                tuple(asked),
                ({"role": "assistant", "content": chosen.text},),
                ({"role": "assistant", "content": rejected.text},),
            )
        )
    return tuple(pairs)


def train(context: StageContext) -> bool:
    """Train the child policy of an iteration; resumes from its checkpoint. False when stopped before the end."""
    connection, errand, workspace = context.connection, context.errand, context.workspace
    assert errand.iteration_id is not None
    iteration = get_iteration(connection, errand.iteration_id)
    settings = settings_of(iteration)
    assert iteration.parent_id is not None
    parent = get_policy(connection, iteration.parent_id)
    weights = weights_of(connection, workspace, parent.id)
    name = f"p{iteration.number:02d}"
    folder = f"r{iteration.run_id}-{name}"
    examples = training_examples(connection, iteration, settings)
    started = time.monotonic()
    seen = {"step": 0, "total": 0}

    def on_metrics(step: int, values: dict[str, float]) -> None:
        with write(connection):
            add_metrics(connection, iteration.id, "train", step, values)

    def on_step(step: int, total: int) -> None:
        seen.update(step=step, total=total)
        with write(connection):
            set_progress(connection, iteration.id, "train", step, total)
        on_idle()

    def on_idle() -> None:
        state = "paused" if context.commands.is_paused() else "running"
        detail = {
            "step": seen["step"],
            "steps": seen["total"],
            "examples": len(examples),
            "setting": settings.training.setting,
            "seconds": round(time.monotonic() - started),
        }
        context.pulse.beat(state, detail)

    scripted = settings.generation.generator == "scripted"
    result = (train_scripted if scripted else run_training)(
        TrainingRequest(
            setting=settings.training.setting,
            base=weights.base,
            parent_adapter=weights.adapter,
            examples=examples,
            settings=settings.training,
            seed=settings.seed,
            work_dir=workspace.training / folder,
            destination=workspace.policies / folder,
            details={"run": iteration.run_id, "iteration": iteration.number, "parent": parent.name},
            merge=not _serves_adapters(settings),
        ),
        context.commands,
        on_metrics,
        on_step,
        on_idle,
    )
    if not result.completed:
        return False
    with write(connection):
        policy_id = add_policy(
            connection,
            run_id=iteration.run_id,
            parent_id=parent.id,
            iteration_id=iteration.id,
            name=name,
            setting=settings.training.setting,
            path=f"policies/{folder}",
            base_model=str(weights.base),
            state="candidate",
            details={"examples": result.kept, "dropped": result.dropped, "steps": result.steps, **result.final},
        )
        update_iteration(connection, iteration.id, child_id=policy_id)
        set_progress(connection, iteration.id, "train", result.steps, result.total_steps)
        dropped = f", {result.dropped} dropped as too long or unfit" if result.dropped else ""
        set_note(
            connection, iteration.id, "train", f"{name}: {settings.training.setting} on {result.kept} examples{dropped}"
        )
        add_event(
            connection,
            "info",
            "training",
            f"policy {name} is in policies/{folder} ({result.kept} examples, {result.steps} steps{dropped})",
            iteration.id,
        )
    return True


def _serves_adapters(settings: RunSettings) -> bool:
    """True where the generator takes base + LoRA (vLLM on a GPU), so that merged weights would be disk for nothing."""
    if settings.generation.generator not in ("auto", "vllm") or not installed("vllm"):
        return False
    import torch

    return bool(torch.cuda.is_available())
