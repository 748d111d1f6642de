"""The preparation of a run: resolves the base model, loads the questions, and creates the base policy."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple
from pathlib import Path
from typing import get_args

from engine.curation.judge.endpoint import settings_problem
from engine.curation.language import check_language
from engine.errors import JudgeUnavailable, TaskError
from engine.evaluation.held_out_questions import dev_draw, lacks_dev_questions
from engine.models.loading import load_tokenizer
from engine.models.resolve import check_chat_template, model_cache, resolve_model
from engine.prompts.chat_format import chat_format, check_chat_format
from engine.prompts.instruction_file import load_parts
from engine.prompts.instructions import BUILT_IN, check_draw
from engine.rollout.load_plan import settings_of
from engine.stages.context import StageContext
from engine.tasks import load_tasks, task_type
from engine.tasks.base import Question, normalised, render_question
from store.control.telemetry import add_event
from store.curation.training_settings import TRAINING_SETTINGS
from store.database.connection import write
from store.evaluation.number_format import counted
from store.records import JsonObject, Split
from store.runs.instruction_parts import put_instruction_parts
from store.runs.iterations import get_iteration
from store.runs.policies import BASE_POLICY, REFLECTOR_POLICY, add_policy, decide_policy
from store.runs.runs import FewShot, add_few_shots, add_questions, few_shots, get_run, run_questions, set_run_state
from store.settings import RunSettings
from store.settings.generation import needs_weights


def prepare(context: StageContext) -> bool:
    """Prepare a run: store its questions, and resolve and check its base policy; returns True.

    Raises:
        OperatorError: a task, a model, an instruction or the judge can't be used as configured.
    """
    connection, job = context.connection, context.job
    run = get_run(connection, job.run_id)
    settings = RunSettings.model_validate(run.settings)
    if job.iteration_id is not None and run.state == "ready":
        iteration = get_iteration(connection, job.iteration_id)
        of_iteration = settings_of(iteration)
        if lacks_dev_questions(connection, iteration, of_iteration):
            context.pulse.beat("drawing dev questions")
            _add_dev_questions(connection, run.id, of_iteration, dev_draw(connection, iteration, of_iteration))
            return True
    base_directory = Path(run.base_directory or ".")
    parts = load_parts(base_directory / settings.reflection.parts) if settings.reflection.parts else {}
    check_draw(settings.reflection.instructions, BUILT_IN.extended(parts))
    check_language(settings.curation.language)
    if TRAINING_SETTINGS[settings.training.setting].judged and settings.judge.by == "endpoint":
        problem = settings_problem(settings.judge)
        if problem:
            raise JudgeUnavailable(problem)
    context.pulse.beat("loading tasks")
    loaded = load_tasks(settings, base_directory)
    context.pulse.beat("loading model")
    path = _model(settings.model, settings)
    reflectors = {name: _model(name, settings) for name in settings.reflecting_models}
    with write(connection):
        put_instruction_parts(connection, run.id, parts)
        for name, task in loaded.items():
            add_questions(
                connection,
                run.id,
                [_row(question) for question in (*task.train, *task.dev, *task.test)],
            )
            add_few_shots(connection, run.id, name, [FewShot(*astuple(shown)) for shown in task.few_shot])
            for remark in task.remarks(name):
                add_event(connection, "warning", "prepare", remark)
            tuning = f"{len(task.dev):,} for tuning, " if task.dev else ""
            trained = "measured only" if name in settings.transfer_tasks else f"{len(task.train):,} training"
            counts = f"{trained}, {tuning}{counted(len(task.test), 'held-out question')}"
            add_event(connection, "info", "prepare", f"task {name}: {counts}")
        _add_base(connection, run.id, BASE_POLICY, path, settings.model, "the base model")
        for number, (name, place) in enumerate(reflectors.items(), start=1):
            reason = "writes the reflections of this run" if name == settings.reflector else "writes reflections"
            policy = REFLECTOR_POLICY if number == 1 else f"{REFLECTOR_POLICY}-{number}"
            _add_base(connection, run.id, policy, place, name, reason, "reflector")
        set_run_state(connection, run.id, "ready")
    return True


def _row(question: Question) -> tuple[str, str, str, str, tuple[str, ...], str, JsonObject, str]:
    return (
        question.task,
        question.domain,
        question.split,
        question.text,
        question.options,
        question.reference,
        question.payload,
        question.content_hash,
    )


def _add_dev_questions(connection: sqlite3.Connection, run_id: int, settings: RunSettings, draw: int) -> None:
    """Draw new dev questions of the tasks whose questions are generated; none repeats a question of the run.

    Raises:
        TaskError: a task has no further different questions.
    """
    taken = {
        normalised(render_question(question.text, question.options))
        for split in get_args(Split)
        for earlier in (range(draw) if split == "dev" else (0,))
        for question in run_questions(connection, run_id, split, earlier)
    }
    taken |= {normalised(shown.question) for examples in few_shots(connection, run_id).values() for shown in examples}
    drawn = {
        task.name: task_type(task.kind).fresh_dev(task, settings.chooses_by, draw, taken)
        for task in settings.tasks
        if task.dev
    }
    with write(connection):
        for name, questions in drawn.items():
            add_questions(connection, run_id, [_row(question) for question in questions], draw)
            if questions:
                words = f"task {name}: {counted(len(questions), 'new dev question')} (draw {draw})"
                add_event(connection, "info", "prepare", words)
        if not any(drawn.values()):
            raise TaskError(
                "evaluation.fresh_dev is set, but no task with dev questions can generate new ones; set it to 0"
            )


def _add_base(
    connection: sqlite3.Connection,
    run_id: int,
    name: str,
    path: Path,
    model: str,
    reason: str,
    roles: str = "reasoner reflector",
) -> None:
    """Insert a policy that was not trained here, promoted from the start: the base model, or the reflector model."""
    policy_id = add_policy(
        connection,
        run_id=run_id,
        parent_id=None,
        iteration_id=None,
        name=name,
        setting="base",
        path=str(path),
        base_model=str(path),
        state="promoted",
        details={"model": model},
        roles=roles,
    )
    decide_policy(connection, policy_id, "promoted", reason)


def _model(name: str, settings: RunSettings) -> Path:
    """Return the directory of a model; one with weights must have a chat template."""
    if not needs_weights(settings.generation.generator):
        return Path(name)
    path = resolve_model(name, model_cache(), with_code=name in settings.trust_remote_code).path
    check_chat_template(path)
    check_chat_format(chat_format(path, load_tokenizer(path), settings.generation.template, settings.generation.system))
    return path
