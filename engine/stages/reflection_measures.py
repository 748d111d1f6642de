"""Measures an iteration's reflections for the curate stage, stores the measures, and warns of a collapse once."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from engine.curation.content_collapse import content_warning
from engine.curation.diversity import Diversity, collapse_warning, diversity
from engine.curation.grounding import Reflected, grounded
from engine.curation.novelty import matched, novelty
from engine.curation.seeded_sample import SAMPLE
from engine.curation.task_shares import drop, overall
from engine.prompts.instructions import compose
from engine.prompts.rollout import Problem, reflection_messages
from engine.rollout.load_plan import pool_of, problems_of
from engine.tasks.base import render_question
from store.control.telemetry import add_event, add_metrics
from store.curation.reflection_measures import ReflectionMeasures, reflection_measures
from store.database.connection import write
from store.records import Iteration
from store.rollouts import attempts as rollouts
from store.runs.iterations import list_iterations
from store.runs.runs import few_shots, run_questions
from store.settings import RunSettings

Reflections = Mapping[int, Reflected]


def watch_reflections(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> None:
    """Measure diversity, grounding and novelty of an iteration's reflections, and warn if they collapse.

    The previous iteration is the one that trained the parent policy. A warning is repeated only if a later curation
    measures other values.
    """
    previous = _trained_by(connection, iteration, iteration.parent_id)
    before_previous = _trained_by(connection, iteration, previous.parent_id) if previous else None
    now, before, before_that = (_reflected(connection, one, settings) for one in (iteration, previous, before_previous))
    if not now:
        return
    examples = _worked_examples(connection, iteration.run_id)
    alike = diversity(_texts(now), settings.seed)
    novel = novelty(now, before, examples, settings.seed)
    share = overall(grounded(now, settings.seed))
    measures = ReflectionMeasures(
        alike.similarity, alike.distinct_3, _rounded(share), _rounded(overall(novel.shares)), _rounded(novel.mean)
    )
    warnings = [_alike_warning(now, before, alike, settings)]
    size = min(len(now), len(before), SAMPLE)
    # Compared on samples of equal size, and against equally many neighbours.
    neighbours, neighbours_before = matched(before, before_that, settings.seed)
    warnings.append(
        content_warning(
            novel.shares,
            settings.curation.collapse_novel,
            drop(grounded(now, settings.seed, size), grounded(before, settings.seed, size)),
            drop(
                novelty(now, neighbours, examples, settings.seed, size).shares,
                novelty(before, neighbours_before, examples, settings.seed, size).shares,
            ),
        )
    )
    known = reflection_measures(connection, iteration.run_id).get(iteration.number)
    with write(connection):
        add_metrics(connection, iteration.id, "curate", 0, measures.stored())
        for warning in warnings:
            if warning is not None and known != measures:
                add_event(connection, "warning", "curate", warning, iteration.id)


def _alike_warning(now: Reflections, before: Reflections, alike: Diversity, settings: RunSettings) -> str | None:
    limit = settings.curation.collapse_similarity
    warning = collapse_warning(alike, limit)
    if not before:
        return warning
    # Both measures depend on the number of texts, so equal numbers are compared.
    size = min(len(now), len(before), SAMPLE)
    smaller, then = (diversity(_texts(one), settings.seed, size) for one in (now, before))
    return collapse_warning(smaller, limit, then) or warning


def _trained_by(connection: sqlite3.Connection, iteration: Iteration, policy_id: int | None) -> Iteration | None:
    """Return the iteration of the run that trained a policy; None for the base policy or one of another run.

    The previous iteration by number may belong to another series of an experiment, or start from the same policy.
    """
    found = (
        one
        for one in list_iterations(connection, iteration.run_id)
        if one.kind == "training" and one.child_id == policy_id and one.id < iteration.id
    )
    return None if policy_id is None else next(found, None)


def _reflected(
    connection: sqlite3.Connection, iteration: Iteration | None, settings: RunSettings
) -> dict[int, Reflected]:
    """Return the reflections of an iteration by id; none for None."""
    if iteration is None:
        return {}
    attempts = {one.id: one for one in rollouts.rollout_attempts(connection, iteration.id)}
    questions = {one.id: one for one in run_questions(connection, iteration.run_id, "train")}
    problems = problems_of(connection, iteration.run_id, settings, tuple(questions.values()))
    pool = pool_of(connection, iteration.run_id)
    requests: dict[tuple[str, str], str] = {}
    found = {}
    for one in rollouts.rollout_reflections(connection, iteration.id):
        attempt = attempts.get(one.attempt_id)
        question = questions.get(attempt.question_id) if attempt else None
        if one.error is not None or attempt is None or question is None:
            continue
        key = problems[question.id].format_instruction, one.instruction
        if key not in requests:
            requests[key] = _request(key[0], compose(one.instruction, pool), settings)
        source = f"{render_question(question.text, question.options)}\n{attempt.reasoning}"
        found[one.id] = Reflected(question.task, question.id, source, requests[key], one.text)
    return found


def _request(format_instruction: str, instruction: str, settings: RunSettings) -> str:
    """Return the wording that the reflections of a task and instruction share; the verifier's detail is no part."""
    told_wrong = settings.reflection.on == "wrong"
    messages = reflection_messages(Problem("", format_instruction), "", instruction, told_wrong=told_wrong)
    return "\n".join(message["content"] for message in messages if message["role"] == "user")


def _worked_examples(connection: sqlite3.Connection, run_id: int) -> dict[str, Sequence[str]]:
    return {
        task: [one.reflection for one in examples if one.reflection is not None]
        for task, examples in few_shots(connection, run_id).items()
    }


def _texts(reflections: Reflections) -> dict[int, str]:
    return {number: one.text for number, one in reflections.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
