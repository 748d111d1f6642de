"""Rows for TRL: `prompt`/`completion` and `prompt`/`chosen`/`rejected`, as lists of chat messages.

The messages are those of this project's own training, built by the same code. Source: ReflectEvo (ACL 2025 Findings,
arXiv 2505.16475), section 3.3.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal, get_args

from engine.exchange.export_scope import ExportRefused, Scope
from engine.exchange.unmapped_fields import Json
from engine.prompts.leakage import STATES_TARGET, unfit_target
from engine.training.build_examples import Rollouts, question_example
from engine.training.examples import AnyExample, Pair
from engine.training.row_kinds import row_examples
from store.curation.training_settings import TRAINING_SETTINGS
from store.exchange import export_pages
from store.records import StoredAttempt, StoredQuestion
from store.settings import TrainingSetting

TrainerFormat = Literal["trl-sft", "trl-dpo"]
TRAINER_FORMATS: tuple[TrainerFormat, ...] = get_args(TrainerFormat)
_PAGE = 500


def settings_of_format(trainer_format: TrainerFormat) -> tuple[TrainingSetting, ...]:
    """Return the training settings whose examples a format can store; the first is the default."""
    paired = trainer_format == "trl-dpo"
    return tuple(entry.name for entry in TRAINING_SETTINGS.values() if entry.paired == paired)


def chosen_setting(scope: Scope, trainer_format: TrainerFormat, wanted: str) -> TrainingSetting:
    """Return the setting whose examples are exported: the requested one, the iteration's own, or the format's first.

    Raises ExportRefused for a setting whose examples do not have this format.
    """
    possible = settings_of_format(trainer_format)
    if wanted:
        found = next((one for one in possible if one == wanted), None)
        if found is None:
            raise ExportRefused(f"{trainer_format} has no setting {wanted!r}; its settings are: {', '.join(possible)}")
        return found
    own = scope.settings.training.setting if scope.settings is not None else None
    if own in possible:
        return own
    # An imported file contains one set, which determines the setting.
    if scope.source is not None and scope.source.format == "d-pref":
        return next((one for one in possible if TRAINING_SETTINGS[one].judged), possible[0])
    return possible[0]


def stages_of(setting: TrainingSetting) -> tuple[str, ...]:
    """Return the file name of each stage, without suffix."""
    return tuple(stage.name for stage in TRAINING_SETTINGS[setting].stages)


def examples_of(
    connection: sqlite3.Connection, scope: Scope, setting: TrainingSetting
) -> Iterator[list[tuple[AnyExample, ...]]]:
    """Yield the examples of an iteration, page by page: one per stage for each curated row or question."""
    set_name = TRAINING_SETTINGS[setting].set_name
    after = 0
    if set_name is None:
        while asked := export_pages.question_page(connection, scope.run.id, after=after, limit=_PAGE):
            after = asked[-1].id
            problems = scope.problems(connection, asked)
            yield [(question_example(question, problems[question.id]),) for question in asked]
        return
    while page := export_pages.curated_page(connection, scope.iteration.id, set_name, after=after, limit=_PAGE):
        after = page[-1].id
        named = [one for row in page for one in (row.reflection_id, row.rejected_reflection_id) if one is not None]
        reflections = export_pages.reflections_by_id(connection, named)
        first = export_pages.attempts_by_id(connection, (one.attempt_id for one in reflections.values()))
        corrections = export_pages.attempts_by_id(
            connection, (row.correction_id for row in page if row.correction_id is not None)
        )
        questions = export_pages.questions_by_id(connection, (one.question_id for one in first.values()))
        rollouts = Rollouts(
            problems=scope.problems(connection, questions.values()),
            attempts={**first, **corrections},
            reflections=reflections,
            compose=scope.compose,
            show_previous_attempt=scope.show_previous_attempt,
            told_wrong=scope.told_wrong,
            feedback=partial(_feedback, scope, questions),
        )
        yield [row_examples(setting, row, rollouts) for row in page]


def _feedback(scope: Scope, questions: Mapping[int, StoredQuestion], attempt: StoredAttempt) -> str:
    return scope.feedback(questions[attempt.question_id], attempt)


def trainer_row(example: AnyExample) -> Json:
    """Return an example as a row for TRL."""
    if isinstance(example, Pair):
        return {"prompt": list(example.prompt), "chosen": list(example.chosen), "rejected": list(example.rejected)}
    return {"prompt": list(example.prompt), "completion": list(example.completion)}


def gives_away(example: AnyExample) -> bool:
    """Check whether the prompt of an example states its completion, for which this project's training drops it."""
    sides = example.sides() if isinstance(example, Pair) else (example,)
    return any(unfit_target(side.prompt, side.completion) == STATES_TARGET for side in sides)
