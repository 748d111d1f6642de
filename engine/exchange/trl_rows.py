"""Rows for TRL: `prompt` with `completion`, `chosen` and `rejected`, or `completion` and `label`, as chat messages.

The messages are those of this project's own training, built by the same code. Source: ReflectEvo (ACL 2025 Findings,
arXiv 2505.16475), section 3.3.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal, get_args

from engine.errors import TrainingRefused
from engine.exchange.export_scope import ExportRefused, Scope
from engine.exchange.unmapped_fields import Json
from engine.prompts.leakage import STATES_TARGET, unfit_target
from engine.training.build_examples import Rollouts, question_example
from engine.training.examples import AnyExample, LabelledExample, Pair
from engine.training.row_kinds import examples_from_attempts, row_examples
from engine.training.shuffled_reflections import shuffled_reflections
from store.curation.learning_rates import Loss
from store.curation.trained_rows import reflected_rows, sampled_attempts, trained_page
from store.curation.training_settings import TRAINING_SETTINGS, TrainingSettingEntry
from store.exchange import export_pages
from store.records import StoredAttempt, StoredQuestion
from store.settings import CurationSection, TrainingSetting

TrainerFormat = Literal["trl-sft", "trl-dpo", "trl-kto"]
TRAINER_FORMATS: tuple[TrainerFormat, ...] = get_args(TrainerFormat)
_PAGE = 500
_FORMAT_OF_LOSS: Mapping[Loss, TrainerFormat] = {"sft": "trl-sft", "dpo": "trl-dpo", "kto": "trl-kto"}


def settings_of_format(trainer_format: TrainerFormat) -> tuple[TrainingSetting, ...]:
    """Return the training settings whose examples a format can store; the first is the default."""
    return tuple(entry.name for entry in TRAINING_SETTINGS.values() if _FORMAT_OF_LOSS[entry.loss] == trainer_format)


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
    """Yield the examples of an iteration, page by page: one per stage for each curated row, question or attempt.

    Raises ExportRefused when the rows of a shuffled stage are reflections on a single question.
    """
    entry = TRAINING_SETTINGS[setting]
    after = 0
    if entry.row_source == "questions":
        while asked := export_pages.question_page(connection, scope.run.id, after=after, limit=_PAGE):
            after = asked[-1].id
            problems = scope.problems(connection, asked)
            yield [(question_example(question, problems[question.id]),) for question in asked]
        return
    if entry.row_source == "sampled attempts":
        yield from _examples_of_attempts(connection, scope, setting)
        return
    shuffled = _shuffled(connection, scope, entry)
    while page := trained_page(connection, scope.iteration.id, entry, after=after, limit=_PAGE):
        after = page[-1].id
        named = [one for row in page for one in (row.reflection_id, row.rejected_reflection_id) if one is not None]
        shown = [shuffled[row.id] for row in page if row.id in shuffled]
        reflections = export_pages.reflections_by_id(connection, [*named, *shown])
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
            shuffled=shuffled,
            told_wrong=scope.told_wrong,
            feedback=partial(_feedback, scope, questions),
        )
        yield [row_examples(setting, row, rollouts) for row in page]


def _examples_of_attempts(
    connection: sqlite3.Connection, scope: Scope, setting: TrainingSetting
) -> Iterator[list[tuple[AnyExample, ...]]]:
    most = CurationSection().max_per_question if scope.settings is None else scope.settings.curation.max_per_question
    after = 0
    while sampled := sampled_attempts(connection, scope.iteration.id, after=after, questions=_PAGE):
        after = sampled[-1].question_id
        questions = export_pages.questions_by_id(connection, (one.question_id for one in sampled))
        problems = scope.problems(connection, questions.values())
        yield [(example,) for example in examples_from_attempts(setting, sampled, problems, most)]


def _shuffled(connection: sqlite3.Connection, scope: Scope, entry: TrainingSettingEntry) -> Mapping[int, int]:
    """Return the reflection that a shuffled stage shows for each row, as the training of the iteration assigns it."""
    if not entry.shuffled:
        return {}
    seed = 0 if scope.settings is None else scope.settings.seed
    try:
        return shuffled_reflections(reflected_rows(connection, scope.iteration.id, entry), seed)
    except TrainingRefused as refusal:
        raise ExportRefused(str(refusal)) from refusal


def _feedback(scope: Scope, questions: Mapping[int, StoredQuestion], attempt: StoredAttempt) -> str:
    return scope.feedback(questions[attempt.question_id], attempt)


def trainer_row(example: AnyExample) -> Json:
    """Return an example as a row for TRL."""
    if isinstance(example, Pair):
        return {"prompt": list(example.prompt), "chosen": list(example.chosen), "rejected": list(example.rejected)}
    row: Json = {"prompt": list(example.prompt), "completion": list(example.completion)}
    return {**row, "label": example.desirable} if isinstance(example, LabelledExample) else row


def gives_away(example: AnyExample) -> bool:
    """Check whether the prompt of an example states its completion, for which this project's training drops it."""
    sides = example.sides() if isinstance(example, Pair) else (example,)
    return any(
        unfit_target(side.prompt, side.completion, repeatable=side.repeatable) == STATES_TARGET for side in sides
    )
