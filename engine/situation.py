"""Reads from the store what a sweep is made of: settings, questions, worked examples, weights, finished work.

The bridge between rows and the pure modules; used by the stage processes and the supervisor.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import EngineError
from engine.evaluation import evaluation_sweep
from engine.generation.base import PolicyWeights
from engine.prompts import Problem
from engine.sweep import Done, Sweep, draw_plan, gather_done
from engine.tasks import task_type
from engine.tasks.base import Example, render_question
from engine.training.policy_directory import ADAPTER, MERGED, REFLECTOR
from store import rollouts
from store.iterations import get_iteration
from store.policies import get_policy, list_policies
from store.records import Iteration, StoredQuestion
from store.runs import few_shots, run_questions
from store.settings import ROLLOUT_STAGES, RunSettings
from store.workspace import Workspace


def settings_of(iteration: Iteration) -> RunSettings:
    """The resolved settings an iteration runs with."""
    return RunSettings.model_validate(iteration.settings)


def problems_of(
    connection: sqlite3.Connection, run_id: int, settings: RunSettings, questions: Sequence[StoredQuestion]
) -> dict[int, Problem]:
    """What each question's prompts start with."""
    shown = few_shots(connection, run_id)
    tasks = {task.name: task for task in settings.tasks}
    found = {}
    for question in questions:
        task = tasks.get(question.task)
        if task is None:
            raise EngineError(
                f"question {question.id} belongs to task {question.task!r}, which the settings don't name"
            )
        found[question.id] = Problem(
            render_question(question.text, question.options),
            task_type(task.kind).format_instruction(task),
            tuple(Example(text, answer) for text, answer in shown.get(question.task, ())),
        )
    return found


@dataclass(frozen=True, slots=True)
class Progressed:
    """A sweep and what of it is stored."""

    sweep: Sweep
    done: dict[int, Done]


def training_sweep(
    connection: sqlite3.Connection, iteration_id: int, stages: Sequence[str] = ROLLOUT_STAGES
) -> Progressed:
    """The sweep over the training questions of an iteration, restricted to some of its stages."""
    iteration = get_iteration(connection, iteration_id)
    settings = settings_of(iteration)
    questions = run_questions(connection, iteration.run_id, "train")
    if iteration.parent_id is None:
        raise EngineError(f"iteration {iteration.number} has no parent policy yet; the run was not prepared")
    sweep = Sweep(
        iteration_id=iteration.id,
        iteration_number=iteration.number,
        policy_id=iteration.parent_id,
        protocol="",
        questions=tuple(questions),
        problems=problems_of(connection, iteration.run_id, settings, questions),
        draws=draw_plan(
            questions,
            settings,
            iteration.number,
            rollouts.instruction_yields(connection, iteration.run_id, iteration.number),
        ),
        attempt=settings.attempt,
        reflection=settings.reflection,
        correction=settings.correction,
        reflect_on_all=False,
        retry=False,
        stages=frozenset(stages),
        seed=settings.seed,
    )
    done = gather_done(
        rollouts.rollout_attempts(connection, iteration.id), rollouts.rollout_reflections(connection, iteration.id)
    )
    return Progressed(sweep, done)


def held_out_sweep(connection: sqlite3.Connection, iteration_id: int, policy_id: int) -> Progressed:
    """The sweep of a policy over the held-out questions, under the iteration's evaluation settings."""
    iteration = get_iteration(connection, iteration_id)
    settings = settings_of(iteration)
    questions = run_questions(connection, iteration.run_id, "test")
    sweep = evaluation_sweep(
        iteration_id=iteration.id,
        policy_id=policy_id,
        settings=settings,
        questions=questions,
        problems=problems_of(connection, iteration.run_id, settings, questions),
    )
    done = gather_done(
        rollouts.evaluation_attempts(connection, policy_id, sweep.protocol),
        rollouts.evaluation_reflections(connection, policy_id, sweep.protocol),
    )
    return Progressed(sweep, done)


def weights_of(
    connection: sqlite3.Connection,
    workspace: Workspace,
    policy_id: int,
    role: Literal["reasoner", "reflector"] = "reasoner",
) -> PolicyWeights:
    """Where the weights lie with which a policy plays a role.

    A policy that was trained with separate adapters has two sets; any other gives the same for both roles, and the
    two answers are equal.
    """
    policy = get_policy(connection, policy_id)
    path, base = workspace.root / policy.path, workspace.root / policy.base_model
    if policy.parent_id is None:
        return PolicyWeights(policy.id, policy.name, base, path)
    if policy.details.get("method") == "full":
        return PolicyWeights(policy.id, policy.name, base, path / MERGED)
    if role == "reflector" and policy.details.get("separate"):
        own = path / REFLECTOR
        return PolicyWeights(policy.id, f"{policy.name}/{REFLECTOR}", base, own / MERGED, own / ADAPTER, role)
    return PolicyWeights(policy.id, policy.name, base, path / MERGED, path / ADAPTER)


def require_weights(weights: PolicyWeights) -> None:
    """Check that the weights are still there.

    Raises:
        EngineError: naming what is gone.
    """
    for needed in (weights.base, weights.adapter or weights.merged):
        if not needed.exists():
            raise EngineError(
                f"policy {weights.name} needs {needed}, which is gone; restore it, or roll back to another"
            )


def root_model(connection: sqlite3.Connection, workspace: Workspace, policy_id: int) -> Path:
    """The model at the root of a policy's lineage: what the run started from, whatever was trained since."""
    policies = {policy.id: policy for policy in list_policies(connection, get_policy(connection, policy_id).run_id)}
    policy = policies[policy_id]
    while policy.parent_id is not None:
        policy = policies[policy.parent_id]
    return workspace.root / policy.path
