"""Reads the training examples of an iteration from the store, for the pure functions of `build_examples`."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from engine.prompts.instructions import compose
from engine.rollout.load_plan import detailed_kinds, pool_of, problems_of
from engine.rollout.plan_prompts import feedback_on
from engine.training.build_examples import Rollouts, question_example
from engine.training.examples import AnyExample
from engine.training.rehearsal import distillation, rehearsal
from engine.training.row_kinds import examples_from_attempts, stage_examples
from engine.training.sampled_attempts import refuse_without_samples
from engine.training.shuffled_reflections import shuffled_reflections
from store.curation.trained_rows import reflected_rows, sampled_attempts, trained_page
from store.curation.training_settings import TRAINING_SETTINGS
from store.records import Iteration
from store.rollouts import attempts
from store.rollouts.thoughts import thoughts_of
from store.runs.runs import run_questions
from store.settings import RunSettings


def rollouts_of(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> Rollouts:
    """Return the attempts and reflections that an iteration's curated rows reference."""
    questions = run_questions(connection, iteration.run_id, "train")
    pool = pool_of(connection, iteration.run_id)
    tasks = {question.id: question.task for question in questions}
    kinds = detailed_kinds(settings)
    return Rollouts(
        problems=problems_of(connection, iteration.run_id, settings, questions),
        attempts={attempt.id: attempt for attempt in attempts.rollout_attempts(connection, iteration.id)},
        reflections={one.id: one for one in attempts.rollout_reflections(connection, iteration.id)},
        compose=lambda key: compose(key, pool),
        show_previous_attempt=settings.correction.show_previous_attempt,
        told_wrong=settings.reflection.on == "wrong",
        feedback=lambda attempt: feedback_on(kinds, tasks[attempt.question_id], attempt),
        attempt_thoughts=thoughts_of(connection, "attempt", iteration.id),
        reflection_thoughts=thoughts_of(connection, "reflection", iteration.id),
    )


def training_examples(
    connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings
) -> tuple[tuple[AnyExample, ...], ...]:
    """Return the examples of each stage of the iteration's training setting.

    First attempts beside D+ are added to the last stage, whose weights generate the attempts. Raises TrainingRefused
    when the setting needs what the iteration does not have: sampled first attempts, or reflections on two questions.
    """
    setting = settings.training.setting
    entry = TRAINING_SETTINGS[setting]
    questions = run_questions(connection, iteration.run_id, "train")
    if entry.row_source == "questions":
        problems = problems_of(connection, iteration.run_id, settings, questions)
        return (tuple(question_example(question, problems[question.id]) for question in questions),)
    if entry.row_source == "sampled attempts":
        problems = problems_of(connection, iteration.run_id, settings, questions)
        thoughts = thoughts_of(connection, "attempt", iteration.id)
        sampled = [
            replace(one, reasoning=thoughts.get(one.id, "") + one.reasoning)
            for one in sampled_attempts(connection, iteration.id)
            if one.question_id in problems
        ]
        made = examples_from_attempts(setting, sampled, problems, settings.curation.max_per_question)
        refuse_without_samples(entry, made, settings.attempt.samples)
        return (made,)
    rows = trained_page(connection, iteration.id, entry)
    found = rollouts_of(connection, iteration, settings)
    if entry.shuffled and rows:
        shown = shuffled_reflections(reflected_rows(connection, iteration.id, entry), settings.seed)
        found = replace(found, shuffled=shown)
    *before, last = stage_examples(setting, rows, found)
    if entry.rehearses:
        wanted = round(settings.training.rehearsal * len(last))
        last = (*last, *rehearsal(questions, found, wanted, settings.seed, settings.curation))
        if settings.training.distillation:
            last = (*last, *distillation(rows, found, settings.curation))
    return (*before, last)
