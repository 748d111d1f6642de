"""Reads the training examples of an iteration from the store, for the pure functions of `build_examples`."""

from __future__ import annotations

import sqlite3

from engine.prompts.instructions import compose
from engine.rollout.load_plan import pool_of, problems_of
from engine.training.build_examples import Rollouts, question_example
from engine.training.examples import AnyExample
from engine.training.rehearsal import distillation, rehearsal
from engine.training.row_kinds import stage_examples
from store.curation.curated import curated
from store.curation.training_settings import TRAINING_SETTINGS
from store.records import Iteration
from store.rollouts import attempts
from store.runs.runs import run_questions
from store.settings import RunSettings


def rollouts_of(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> Rollouts:
    """Return the attempts and reflections that an iteration's curated rows reference."""
    questions = run_questions(connection, iteration.run_id, "train")
    pool = pool_of(connection, iteration.run_id)
    return Rollouts(
        problems=problems_of(connection, iteration.run_id, settings, questions),
        attempts={attempt.id: attempt for attempt in attempts.rollout_attempts(connection, iteration.id)},
        reflections={one.id: one for one in attempts.rollout_reflections(connection, iteration.id)},
        compose=lambda key: compose(key, pool),
        show_previous_attempt=settings.correction.show_previous_attempt,
    )


def training_examples(
    connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings
) -> tuple[tuple[AnyExample, ...], ...]:
    """Return the examples of each stage of the iteration's training setting.

    First attempts beside D+ are added to the last stage, whose weights generate the attempts.
    """
    setting = settings.training.setting
    set_name = TRAINING_SETTINGS[setting].set_name
    questions = run_questions(connection, iteration.run_id, "train")
    if set_name is None:
        problems = problems_of(connection, iteration.run_id, settings, questions)
        return (tuple(question_example(question, problems[question.id]) for question in questions),)
    rows = curated(connection, iteration.id, set_name)
    found = rollouts_of(connection, iteration, settings)
    *before, last = stage_examples(setting, rows, found)
    if set_name == "d_plus":
        wanted = round(settings.training.rehearsal * len(last))
        last = (*last, *rehearsal(questions, found, wanted, settings.seed, settings.curation))
        if settings.training.distillation:
            last = (*last, *distillation(rows, found, settings.curation))
    return (*before, last)
