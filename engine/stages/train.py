"""The train stage: builds examples from curated rows, runs the training, and records the child policy."""

from __future__ import annotations

import sqlite3
import time

from engine.generation import installed
from engine.models.policy_directory import MERGED
from engine.models.weights import root_model, weights_of
from engine.rollout.load_plan import settings_of
from engine.stages.context import StageContext
from engine.training.examples import Example, summarise_dropped
from engine.training.load_examples import training_examples
from engine.training.request import TrainingRequest, TrainingResult
from engine.training.scripted import train_scripted
from engine.training.train import STAGE_METRIC
from engine.training.train import train as run_training
from store.control.telemetry import add_event, add_metrics
from store.database.connection import write
from store.evaluation.number_format import counted
from store.records import Iteration, Policy
from store.runs.iterations import get_iteration, set_note, set_progress, update_iteration
from store.runs.policies import add_policy, get_policy
from store.settings import RunSettings
from store.settings.generation import AUTO, GENERATORS, needs_weights
from store.workspace import Workspace


def train(context: StageContext) -> bool:
    """Train the child policy of an iteration, resuming from a checkpoint if there is one; False when stopped early.

    Raises:
        TrainingRefused: the training can't start as configured.
    """
    connection, job, workspace = context.connection, context.job, context.workspace
    assert job.iteration_id is not None
    iteration = get_iteration(connection, job.iteration_id)
    settings = settings_of(iteration)
    assert iteration.parent_id is not None
    parent = get_policy(connection, iteration.parent_id)
    request = training_request(connection, workspace, iteration, settings)
    started = time.monotonic()
    seen = {"step": 0, "total": 0, "stage": 1}

    def on_metrics(step: int, values: dict[str, float]) -> None:
        seen["stage"] = int(values.get(STAGE_METRIC, 1))
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
            "stage": seen["stage"],
            "examples": len(request.examples),
            "setting": request.setting,
            "seconds": round(time.monotonic() - started),
        }
        context.pulse.beat(state, detail)

    train_policy = run_training if needs_weights(settings.generation.generator) else train_scripted
    result = train_policy(request, context.commands, on_metrics, on_step, on_idle)
    if not result.completed:
        return False
    _record(connection, iteration, parent, request, result)
    return True


def training_request(
    connection: sqlite3.Connection, workspace: Workspace, iteration: Iteration, settings: RunSettings
) -> TrainingRequest:
    """Build the request to train an iteration's child: examples by training stage, parent weights, output directory."""
    assert iteration.parent_id is not None
    parent = get_policy(connection, iteration.parent_id)
    reasoner = weights_of(connection, workspace, parent.id)
    reflector = weights_of(connection, workspace, parent.id, role="reflector")
    root = root_model(connection, workspace, parent.id)
    stages = training_examples(connection, iteration, settings)
    second = stages[1] if len(stages) > 1 else ()
    first_attempts = sum(example.id < 0 for example in stages[-1])
    folder = f"r{iteration.run_id}-p{iteration.number:02d}"
    return TrainingRequest(
        setting=settings.training.setting,
        base=reasoner.base,
        parent_adapter=reasoner.adapter,
        examples=stages[0],
        second_examples=tuple(example for example in second if isinstance(example, Example)),
        settings=settings.training,
        seed=settings.seed,
        work_dir=workspace.training / folder,
        destination=workspace.policies / folder,
        details={
            "run": iteration.run_id,
            "iteration": iteration.number,
            "parent": parent.name,
            "first_attempts": first_attempts,
        },
        merge=not _serves_adapters(settings),
        parent_reflector=None if reflector == reasoner else reflector.adapter,
        reference_base=None if root == reasoner.base else root,
        keywords=settings.generation.template,
        system=settings.generation.system,
    )


def _record(
    connection: sqlite3.Connection,
    iteration: Iteration,
    parent: Policy,
    request: TrainingRequest,
    result: TrainingResult,
) -> None:
    name = f"p{iteration.number:02d}"
    path = f"policies/{request.destination.name}"
    full = request.settings.method == "full"
    details: dict[str, object] = {
        "examples": result.kept,
        "dropped": result.dropped,
        "first_attempts": request.details["first_attempts"],
        "steps": result.steps,
        "method": request.settings.method,
        **({"separate": True} if result.separate else {}),
        **result.final,
    }
    last = result.stages[-1]
    if last.best_step is not None:
        details |= {"held_out": last.held_out, "best_step": last.best_step, "best_loss": last.best_loss}
    dropped = f", {result.dropped:,} dropped ({summarise_dropped(result.dropped_reasons)})" if result.dropped else ""
    early = "".join(
        f", stage {stage.number} stopped early at step {stage.steps}, best at {stage.best_step}"
        for stage in result.stages
        if stage.stopped_early
    )
    first_attempts = request.details["first_attempts"]
    beside = f", {first_attempts:,} of them first attempts" if first_attempts else ""
    with write(connection):
        policy_id = add_policy(
            connection,
            run_id=iteration.run_id,
            parent_id=parent.id,
            iteration_id=iteration.id,
            name=name,
            setting=request.setting,
            path=path,
            # Adapters of its children will be relative to this base.
            base_model=f"{path}/{MERGED}" if full else parent.base_model,
            state="candidate",
            details=details,
        )
        update_iteration(connection, iteration.id, child_id=policy_id)
        set_progress(connection, iteration.id, "train", result.steps, result.total_steps)
        set_note(
            connection,
            iteration.id,
            "train",
            f"{name}: {request.setting} on {counted(result.kept, 'example')}{beside}{dropped}{early}",
        )
        add_event(
            connection,
            "info",
            "training",
            f"policy {name} is in {path} ({counted(result.kept, 'example')}, {counted(result.steps, 'step')}"
            f"{dropped}{early})",
            iteration.id,
        )


def _serves_adapters(settings: RunSettings) -> bool:
    """Check whether the generator serves base + LoRA (vLLM on a GPU), so that merged weights would only waste disk."""
    wanted = settings.generation.generator
    usable = [one for one in GENERATORS.values() if (one.automatic if wanted == AUTO else one.name == wanted)]
    served = next((one for one in usable if installed(one.name)), None)
    if served is None or not served.serves_adapters:
        return False
    import torch

    return bool(torch.cuda.is_available())
