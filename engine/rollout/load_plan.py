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
from engine.evaluation.answers import Feedback
from engine.evaluation.protocol import (
    deciding_feedback,
    evaluation_sweep,
    feedback_of,
    feedbacks_of,
    protocol_name,
    sibling_protocol,
)
from engine.generation.base import PolicyWeights
from engine.models.policy_directory import ADAPTER, MERGED, REFLECTOR
from engine.models.resolve import check_adapter
from engine.prompts.instructions import BUILT_IN, Pool
from engine.prompts.rollout import Problem
from engine.rollout.plan import Done, Sweep, draw_plan, gather_done
from engine.rollout.reuse import Reusable, offer
from engine.supervisor.lineage import REFLECTOR_POLICY
from engine.tasks import task_type
from engine.tasks.base import Example, render_question
from store.records import Iteration, StoredAttempt, StoredQuestion
from store.rollouts import attempts as rollouts
from store.runs.instruction_parts import instruction_parts
from store.runs.iterations import find_iteration, get_iteration
from store.runs.policies import find_policy, get_policy, list_policies
from store.runs.runs import few_shots, get_question, run_questions
from store.settings import ROLLOUT_STAGES, Decoding, RunSettings
from store.workspace import Workspace

Role = Literal["reasoner", "reflector"]


def settings_of(iteration: Iteration) -> RunSettings:
    """The resolved settings an iteration runs with."""
    return RunSettings.model_validate(iteration.settings)


def kinds_of(settings: RunSettings) -> dict[str, str]:
    """The task type of every task by the task's name."""
    return {task.name: task.kind for task in settings.tasks}


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
            tuple(Example(*example) for example in shown.get(question.task, ())),
        )
    return found


def pool_of(connection: sqlite3.Connection, run_id: int) -> Pool:
    """The instructions of a run: the built-in pool with the operator's parts as they stood when it was prepared."""
    return BUILT_IN.extended(instruction_parts(connection, run_id))


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
        raise EngineError(f"{iteration.title} has no parent policy yet; the run was not prepared")
    # Reflections that are to be taken over are those that were drawn then.
    takes_reflections = settings.reuse is not None and settings.reuse.what == "reflections"
    drawn_as = settings.reuse.iteration if settings.reuse is not None and takes_reflections else iteration.number
    pool = pool_of(connection, iteration.run_id)
    sweep = Sweep(
        iteration_id=iteration.id,
        iteration_number=iteration.number,
        policy_id=iteration.parent_id,
        reflector_id=reflector_of(connection, iteration, settings, iteration.parent_id),
        protocol="",
        questions=tuple(questions),
        problems=problems_of(connection, iteration.run_id, settings, questions),
        draws=draw_plan(
            questions,
            settings,
            drawn_as,
            rollouts.instruction_yields(connection, iteration.run_id, drawn_as),
            pool,
        ),
        attempt=settings.attempt,
        reflection=settings.reflection,
        correction=settings.correction,
        reflect_on_all=False,
        stages=frozenset(stages),
        seed=settings.seed,
        rounds=settings.reflection.rounds,
        reusable=reusable_of(connection, iteration, settings),
        pool=pool,
    )
    done = gather_done(
        rollouts.rollout_attempts(connection, iteration.id), rollouts.rollout_reflections(connection, iteration.id)
    )
    return Progressed(sweep, done)


def reusable_of(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> Reusable:
    """What an iteration may take over from the earlier one that its settings name.

    Only texts that were decoded as this iteration decodes are offered; prompt and policy are compared text by text.

    Raises:
        EngineError: when there is no such earlier iteration.
    """
    if settings.reuse is None:
        return Reusable()
    source = find_iteration(connection, iteration.run_id, settings.reuse.iteration)
    if source is None or source.number >= iteration.number:
        raise EngineError(
            f"reuse.iteration is {settings.reuse.iteration}, and {iteration.title} can take texts over only from an "
            "earlier iteration of its run"
        )
    earlier = settings_of(source)
    if earlier.attempt != settings.attempt:
        return Reusable()
    attempts = rollouts.rollout_attempts(connection, source.id)
    if settings.reuse.what == "attempts" or _decoding(earlier.reflection) != _decoding(settings.reflection):
        return offer(attempts)
    return offer(attempts, rollouts.rollout_reflections(connection, source.id))


def _decoding(section: Decoding) -> tuple[int, float, float]:
    return section.max_tokens, section.temperature, section.top_p


def reflector_of(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings, policy_id: int) -> int:
    """The policy that reflects for `policy_id`: the run's separate reflector where its settings name one.

    Raises:
        EngineError: when they name one that the run was not prepared with.
    """
    if settings.reflector is None:
        return policy_id
    found = find_policy(connection, iteration.run_id, REFLECTOR_POLICY)
    if found is None:
        raise EngineError(
            f"the settings name {settings.reflector!r} as reflector, but the run was prepared without one; "
            "start a new run under another name"
        )
    return found.id


def held_out_sweep(
    connection: sqlite3.Connection, iteration_id: int, policy_id: int, feedback: Feedback | None = None
) -> Progressed:
    """The sweep of a policy over the held-out questions, under the iteration's evaluation settings.

    Where both protocols are measured, the one that decides unless `feedback` names another. First answers that
    the sibling protocol has are taken over: they don't depend on the feedback.
    """
    iteration = get_iteration(connection, iteration_id)
    settings = settings_of(iteration)
    questions = run_questions(connection, iteration.run_id, settings.evaluation.split)
    feedback = feedback or deciding_feedback(settings)
    sibling = sibling_protocol(protocol_name(settings, questions, feedback))
    sweep = evaluation_sweep(
        iteration_id=iteration.id,
        policy_id=policy_id,
        settings=settings,
        questions=questions,
        problems=problems_of(connection, iteration.run_id, settings, questions),
        feedback=feedback,
        reflector_id=reflector_of(connection, iteration, settings, policy_id),
        reusable=offer(rollouts.evaluation_attempts(connection, policy_id, sibling)),
    )
    done = gather_done(
        rollouts.evaluation_attempts(connection, policy_id, sweep.protocol),
        rollouts.evaluation_reflections(connection, policy_id, sweep.protocol),
    )
    return Progressed(sweep, done)


def held_out_sweeps(connection: sqlite3.Connection, iteration_id: int, policy_id: int) -> list[Progressed]:
    """One sweep for each protocol that the iteration measures, the deciding one first."""
    settings = settings_of(get_iteration(connection, iteration_id))
    return [held_out_sweep(connection, iteration_id, policy_id, feedback) for feedback in feedbacks_of(settings)]


def asking_sweep(connection: sqlite3.Connection, iteration_id: int, protocol: str, answer: StoredAttempt) -> Sweep:
    """As much of the sweep that made an attempt as its prompts depend on, for its question alone.

    The protocol's name says whether an oracle gave feedback, also where the settings name another protocol by now.
    """
    iteration = get_iteration(connection, iteration_id)
    settings = settings_of(iteration)
    question = get_question(connection, answer.question_id)
    return Sweep(
        iteration_id=iteration.id,
        iteration_number=iteration.number,
        policy_id=answer.policy_id,
        reflector_id=answer.policy_id,
        protocol=protocol,
        questions=(question,),
        problems=problems_of(connection, iteration.run_id, settings, [question]),
        draws={},
        attempt=settings.attempt,
        reflection=settings.reflection,
        correction=settings.correction,
        reflect_on_all=feedback_of(protocol) == "oracle-free",
        stages=frozenset(),
        seed=settings.seed,
        pool=pool_of(connection, iteration.run_id),
    )


def weights_of(
    connection: sqlite3.Connection,
    workspace: Workspace,
    policy_id: int,
    role: Role = "reasoner",
) -> PolicyWeights:
    """Where the weights lie with which a policy plays a role. Raises EngineError for one that points elsewhere.

    A policy that was trained with separate adapters has two sets; any other gives the same for both roles, and the
    two answers are equal.
    """
    policy = get_policy(connection, policy_id)
    path, base = workspace.root / policy.path, workspace.root / policy.base_model
    if policy.parent_id is not None and not path.resolve().is_relative_to(workspace.policies.resolve()):
        raise EngineError(f"policy {policy.name} points out of the workspace ({path}); it is not loaded")
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
        EngineError: naming what is gone, or an adapter that could run code when it is loaded.
    """
    for needed in (weights.base, weights.adapter or weights.merged):
        if not needed.exists():
            raise EngineError(
                f"policy {weights.name} needs {needed}, which is gone; restore it, or roll back to another"
            )
    if weights.adapter is not None:
        check_adapter(weights.adapter)


def root_model(connection: sqlite3.Connection, workspace: Workspace, policy_id: int) -> Path:
    """The model at the root of a policy's lineage: what the run started from, whatever was trained since."""
    policies = {policy.id: policy for policy in list_policies(connection, get_policy(connection, policy_id).run_id)}
    policy = policies[policy_id]
    while policy.parent_id is not None:
        policy = policies[policy.parent_id]
    return workspace.root / policy.path
