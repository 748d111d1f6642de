"""Tokens of a curated row and their loss mask, as JSON, without training.

Loads a tokenizer but no model. Template and mask are those of the trainer.
"""

from __future__ import annotations

import itertools
import sqlite3
from dataclasses import replace
from typing import Any

from engine.errors import EngineError
from engine.models.loading import load_tokenizer
from engine.models.resolve import check_chat_template
from engine.models.weights import weights_of
from engine.prompts.chat_format import ChatFormat, chat_format
from engine.rollout.load_plan import settings_of
from engine.training.build_examples import question_example
from engine.training.examples import AnyExample, Example, LabelledExample, Pair, TokenView, examine, texts_of
from engine.training.load_examples import rollouts_of
from engine.training.request import second_stage
from engine.training.row_kinds import examples_from_attempts, row_examples
from engine.training.shuffled_reflections import shuffled_reflections
from store.curation.curated import get_curated
from store.curation.records import CuratedRow
from store.curation.trained_rows import ReflectedRow, reflected_rows, sampled_attempts
from store.curation.training_settings import TRAINING_SETTINGS, usual_setting
from store.database.connection import reading
from store.records import Iteration
from store.runs.iterations import get_iteration
from store.runs.runs import run_questions
from store.settings import RunSettings, TrainingSetting
from store.settings.generation import needs_weights
from store.workspace import Workspace


def inspect_example(workspace: Workspace, curated_id: int, setting: TrainingSetting | None = None) -> dict[str, Any]:
    """Return the tokens of a curated row under a setting, by default its iteration's (or the usual one of its set).

    Returns `{"id", "setting", "sides": [{"name", "tokens": [{"text", "id", "loss"}], "length"}], "length",
    "max_length", "fits", "reason"}`. The texts of a side join to the whole rendered conversation; `length` is in
    tokens, of the longest side; `reason` states why the example would be dropped, and is empty otherwise. Raises
    EngineError for a setting that does not train on the row's set, and when there is no such row.
    """
    with reading(workspace.database) as connection:
        row = get_curated(connection, curated_id)
        if row is None:
            raise EngineError(f"there is no curated row {curated_id} in {workspace.root}")
        iteration = get_iteration(connection, row.iteration_id)
        settings = settings_of(iteration)
        if not needs_weights(settings.generation.generator):
            raise EngineError("the policies of this run have no weights, hence no tokens to show")
        chosen = _setting(row, setting, settings.training.setting)
        examples = _examples(connection, iteration, settings, row, chosen)
        if iteration.parent_id is None:
            raise EngineError(f"iteration {iteration.number} has no parent policy, hence no tokenizer")
        base = weights_of(connection, workspace, iteration.parent_id).base
    check_chat_template(base)
    form = chat_format(base, load_tokenizer(base), settings.generation.template, settings.generation.system)
    limits = [settings.training.max_length, second_stage(settings.training).max_length]
    sides: list[dict[str, Any]] = []
    reasons = []
    for position, (example, limit) in enumerate(zip(examples, limits, strict=False)):
        views, reason = examine(example, form, limit)
        reasons += [reason] if reason else []
        parts = example.sides() if isinstance(example, Pair) else (example,)
        names = _names(chosen, position, example)
        for name, part, view in itertools.zip_longest(names, parts, views):
            sides.append(_side(name, part, view, form))
    return {
        "id": row.id,
        "setting": chosen,
        "sides": sides,
        "length": max(side["length"] for side in sides),
        "max_length": limits[0],
        "fits": not reasons,
        "reason": "; ".join(reasons),
    }


def _setting(row: CuratedRow, wanted: str | None, own: TrainingSetting) -> TrainingSetting:
    if wanted is None:
        return own if TRAINING_SETTINGS[own].set_name == row.set_name else usual_setting(row.set_name).name
    if wanted not in TRAINING_SETTINGS:
        raise EngineError(f"{wanted!r} is not a training setting; they are {', '.join(TRAINING_SETTINGS)}")
    needed = TRAINING_SETTINGS[wanted].set_name
    if needed not in (None, row.set_name):
        raise EngineError(f"curated row {row.id} belongs to {row.set_name}, and {wanted} trains on {needed}")
    return wanted


def _examples(
    connection: sqlite3.Connection,
    iteration: Iteration,
    settings: RunSettings,
    row: CuratedRow,
    setting: TrainingSetting,
) -> tuple[AnyExample, ...]:
    """Return the examples of a row, one per stage; for a setting without a curated set, one of the row's question."""
    entry = TRAINING_SETTINGS[setting]
    rollouts = rollouts_of(connection, iteration, settings)
    if entry.shuffled:
        rows = [one for one in reflected_rows(connection, iteration.id, entry) if one.id != row.id]
        reflection = rollouts.reflections[row.reflection_id]
        question = rollouts.attempts[reflection.attempt_id].question_id
        task = next(one.task for one in run_questions(connection, iteration.run_id, "train") if one.id == question)
        rows.append(ReflectedRow(row.id, reflection.id, question, task))
        rollouts = replace(rollouts, shuffled=shuffled_reflections(rows, settings.seed))
    if entry.set_name is not None:
        return row_examples(setting, row, rollouts)
    asked = row_examples(usual_setting(row.set_name).name, row, rollouts)[0].question_id
    if entry.row_source == "questions":
        (asked_question,) = (one for one in run_questions(connection, iteration.run_id, "train") if one.id == asked)
        return (question_example(asked_question, rollouts.problems[asked_question.id]),)
    sampled = [one for one in sampled_attempts(connection, iteration.id) if one.question_id == asked]
    made = examples_from_attempts(setting, sampled, rollouts.problems, settings.curation.max_per_question)
    if not made:
        raise EngineError(f"{setting} has no example of the question of curated row {row.id}: no fitting attempt")
    return made[:1]


def _names(setting: TrainingSetting, stage: int, example: AnyExample) -> tuple[str, ...]:
    if isinstance(example, LabelledExample):
        return ("desirable" if example.desirable else "undesirable",)
    entry = TRAINING_SETTINGS[setting]
    return ("chosen", "rejected") if entry.paired else (entry.stages[stage].title,)


def _side(name: str, part: Example, view: TokenView | None, form: ChatFormat) -> dict[str, Any]:
    rendered = "".join(texts_of(part, form))
    if view is None:
        # A token spans the end of the prompt: the tokens exist, but no mask does.
        ids = form.tokens(rendered)
        view = TokenView(tuple(ids), (0,) * len(ids))
    texts = token_texts(rendered, view.ids, form.tokenizer)
    return {
        "name": name,
        "tokens": [
            {"text": text, "id": number, "loss": bool(learnt)}
            for text, number, learnt in zip(texts, view.ids, view.loss_mask, strict=True)
        ],
        "length": len(view.ids),
    }


def token_texts(rendered: str, ids: tuple[int, ...], tokenizer: Any) -> list[str]:
    """Return the text of each token; joined, they are the rendered conversation.

    A character of several tokens belongs to the first of them; the texts of the others are empty. Without offsets
    (slow tokenizers), each token is decoded on its own.
    """
    if tokenizer.is_fast:
        placed = tokenizer(rendered, add_special_tokens=False, return_offsets_mapping=True)
        if tuple(placed["input_ids"]) == ids:
            ends = list(itertools.accumulate((end for _, end in placed["offset_mapping"]), max))
            return [rendered[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [str(tokenizer.decode([number])) for number in ids]
