"""Loads a rollout plan and its finished work from the store.

Connects stored rows with the pure modules of this package; used by the stage processes and the supervisor.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engine.errors import EngineError
from engine.prompts.instructions import BUILT_IN, Pool
from engine.prompts.rollout import Problem
from engine.rollout.plan import Baselines, Done, RolloutPlan, draw_plan, gather_done
from engine.rollout.reuse import Reusable, offer
from engine.tasks import task_type
from engine.tasks.base import Example, render_question
from store.curation.training_settings import TRAINING_SETTINGS
from store.records import Iteration, Policy, StageName, StoredQuestion
from store.rollouts import attempts as rollouts
from store.runs.instruction_parts import instruction_parts
from store.runs.iterations import find_iteration, get_iteration, list_iterations
from store.runs.policies import BASE_POLICY, REFLECTOR_POLICY, find_policy, get_policy, list_policies
from store.runs.runs import few_shots, run_questions
from store.settings import ROLLOUT_STAGES, Decoding, RunSettings
from store.settings.rollout import reflecting_model


def settings_of(iteration: Iteration) -> RunSettings:
    """Return the resolved settings of an iteration."""
    return RunSettings.model_validate(iteration.settings)


def kinds_of(settings: RunSettings) -> dict[str, str]:
    """Return the kind of every task by the task's name."""
    return {task.name: task.kind for task in settings.tasks}


def problems_of(
    connection: sqlite3.Connection, run_id: int, settings: RunSettings, questions: Sequence[StoredQuestion]
) -> dict[int, Problem]:
    """Return the common part of the prompts of each question, by question id.

    Raises:
        EngineError: if a question belongs to a task that the settings do not contain.
    """
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
            task_type(task.kind).instruction(task, reason=settings.attempt.reason),
            tuple(Example(*example) for example in shown.get(question.task, ())),
        )
    return found


def pool_of(connection: sqlite3.Connection, run_id: int) -> Pool:
    """Return the instructions of a run: the built-in pool and the operator's parts, as stored at its preparation."""
    return BUILT_IN.extended(instruction_parts(connection, run_id))


def detailed_kinds(settings: RunSettings) -> dict[str, str]:
    """Return the kind of every task by its name if prompts contain the verifier's details, else nothing."""
    return kinds_of(settings) if settings.reflection.feedback == "detail" else {}


def asked_in_one_generation(connection: sqlite3.Connection, policy_id: int, reflector_id: int) -> bool:
    """Check whether a policy reflects and corrects in one reply to one prompt, because it was trained to.

    The last training that changed its reflections or corrections decides; trainings on other texts (e.g. on first
    attempts) leave the prompts of their parent. A base policy is asked in two prompts, and so is a policy for which
    another one reflects.
    """
    policy: Policy | None = get_policy(connection, policy_id) if reflector_id == policy_id else None
    while policy is not None:
        entry = TRAINING_SETTINGS.get(policy.setting)
        if entry is not None and entry.second_turn:
            return entry.one_generation
        policy = None if policy.parent_id is None else get_policy(connection, policy.parent_id)
    return False


@dataclass(frozen=True, slots=True)
class Progressed:
    """A plan and its stored work, by question id."""

    plan: RolloutPlan
    done: dict[int, Done]


def training_plan(
    connection: sqlite3.Connection, iteration_id: int, stages: Sequence[StageName] = ROLLOUT_STAGES
) -> Progressed:
    """Load the plan over the training questions of an iteration, restricted to the given stages.

    Raises:
        EngineError: if the iteration has no parent policy, or its settings name a reflector or an earlier iteration
            that does not exist.
    """
    iteration = get_iteration(connection, iteration_id)
    settings = settings_of(iteration)
    questions = run_questions(connection, iteration.run_id, "train")
    if iteration.parent_id is None:
        raise EngineError(f"{iteration.title} has no parent policy yet; the run was not prepared")
    # Reflections can be reused only if the same instructions are drawn as in the earlier iteration.
    takes_reflections = settings.reuse is not None and settings.reuse.what != "attempts"
    drawn_as = settings.reuse.iteration if settings.reuse is not None and takes_reflections else iteration.number
    pool = pool_of(connection, iteration.run_id)
    reflector_id = training_reflector(connection, iteration, settings, iteration.parent_id)
    samples = settings.correction.samples
    plan = RolloutPlan(
        iteration_id=iteration.id,
        iteration_number=iteration.number,
        policy_id=iteration.parent_id,
        reflector_id=reflector_id,
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
        reflect_on_all=settings.reflection.on == "all",
        stages=frozenset(stages),
        seed=settings.seed,
        rounds=settings.reflection.rounds,
        baselines=Baselines(
            # As many second attempts without a reflection as with each one: a lift compares equal numbers of draws.
            retries=samples if samples > 1 else 0,
            retry=settings.correction,
            votes=settings.attempt.samples,
            vote=settings.attempt.sampled,
        ),
        reusable=reusable_of(connection, iteration, settings),
        pool=pool,
        one_generation=asked_in_one_generation(connection, iteration.parent_id, reflector_id),
        detailed_kinds=detailed_kinds(settings),
    )
    done = gather_done(
        rollouts.rollout_attempts(connection, iteration.id), rollouts.rollout_reflections(connection, iteration.id)
    )
    return Progressed(plan, done)


def reusable_of(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> Reusable:
    """Return the texts that an iteration can reuse from the earlier iteration named in its settings.

    Only texts generated with the same decoding parameters are offered; prompt and policy are compared per text.

    Raises:
        EngineError: if there is no such earlier iteration.
    """
    if settings.reuse is None:
        return Reusable()
    source = find_iteration(connection, iteration.run_id, settings.reuse.iteration)
    if source is None or source.number >= iteration.number:
        raise EngineError(
            f"reuse.iteration is {settings.reuse.iteration}, and {iteration.title} can reuse texts only of an "
            "earlier iteration of its run"
        )
    earlier = settings_of(source)
    if not _asked_alike(earlier, settings, "attempt"):
        return Reusable()
    same_samples = earlier.attempt.sample_temperature == settings.attempt.sample_temperature
    attempts = [
        one
        for one in rollouts.rollout_attempts(connection, source.id)
        if same_samples or one.turn > 1 or not one.sample
    ]
    if settings.reuse.what == "attempts" or not _asked_alike(earlier, settings, "reflection"):
        return offer(attempts)
    follow = settings.reuse.what == "corrections" and _asked_alike(earlier, settings, "correction")
    return offer(attempts, rollouts.rollout_reflections(connection, source.id), corrections=follow)


def _asked_alike(one: RunSettings, other: RunSettings, role: Literal["attempt", "reflection", "correction"]) -> bool:
    """Check whether two iterations decode a role alike, and render its messages alike."""
    sections: list[Decoding] = [getattr(settings, role) for settings in (one, other)]
    forms = [(settings.generation.template, settings.generation.system) for settings in (one, other)]
    return sections[0].of_decoding() == sections[1].of_decoding() and forms[0] == forms[1]


def reflector_of(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings, policy_id: int) -> int:
    """Return the id of the policy that reflects for `policy_id`: the separate reflector if the settings name one.

    Raises:
        EngineError: if the settings name a reflector but the run was prepared without one.
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


def training_reflector(
    connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings, policy_id: int
) -> int:
    """Return the id of the policy that reflects on the training attempts of `policy_id`; see `reflection.by`.

    Only policies of earlier iterations count, so that the result is the same whenever it is asked for.

    Raises:
        EngineError: if there is no such policy, or the run was prepared without the model that `by` names.
    """
    by = settings.reflection.by
    if by == "policy":
        return reflector_of(connection, iteration, settings, policy_id)
    found: Policy | None
    if by == "base":
        found, lacks = find_policy(connection, iteration.run_id, BASE_POLICY), "the run has no base policy"
    elif by == "child":
        numbers = {one.id: one.number for one in list_iterations(connection, iteration.run_id)}
        children = [
            one
            for one in list_policies(connection, iteration.run_id)
            if one.parent_id == policy_id and numbers.get(one.iteration_id or 0, iteration.number) < iteration.number
        ]
        found = children[-1] if children else None
        lacks = (
            f"no policy was trained from {get_policy(connection, policy_id).name} in an earlier iteration; train one "
            "first, or use 'policy'"
        )
    elif reflecting_model(by) is None:
        found, lacks = find_policy(connection, iteration.run_id, by), f"the run has no policy {by}"
    else:
        models = [one for one in list_policies(connection, iteration.run_id) if one.details.get("model") == by]
        found, lacks = (models[-1] if models else None), "the run was prepared without it; start a new run"
    if found is None:
        raise EngineError(f"reflection.by is {by!r}, but {lacks}")
    return found.id
