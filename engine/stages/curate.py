"""The curate stage: builds D+, D± and Dpref from an iteration's trajectories, with a reason for each row left out.

If training uses Dpref and a judge ranks its pairs, this stage runs the judge; each preference is stored immediately.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence

from engine.curation.candidates import Candidate
from engine.curation.d_plus import d_plus
from engine.curation.d_pm import d_pm
from engine.curation.d_pref import d_pref
from engine.curation.judge.ranking import JudgedPair, Tally
from engine.curation.language import check_language
from engine.curation.unfit_answers import correction_wording
from engine.errors import JudgeUnavailable
from engine.prompts.instructions import GENERAL, compose
from engine.prompts.leakage import correction_request, training_prompts
from engine.rollout.load_plan import detailed_kinds, pool_of, problems_of, settings_of
from engine.rollout.plan_prompts import feedback_on
from engine.stages.context import StageContext
from engine.stages.judge_pairs import prefer
from engine.stages.reflection_measures import watch_reflections
from engine.tasks import task_type
from engine.tasks.base import render_question
from engine.training.build_examples import reflection_prompt
from engine.training.rehearsal import unfit_first_attempt
from store.control.telemetry import add_event
from store.curation.curated import NOT_JUDGED, NewCurated, replace_curated
from store.curation.datasets import SET_NAMES
from store.curation.preferences import preferences_of
from store.curation.training_settings import TRAINING_SETTINGS
from store.curation.unfit_attempts import replace_unfit_attempts
from store.database.connection import write
from store.evaluation.number_format import counted
from store.records import EventLevel, Iteration, StoredAttempt, StoredReflection
from store.rollouts import attempts as rollouts
from store.rollouts.lift import reflection_lifts
from store.runs.iterations import get_iteration, set_note, set_progress
from store.runs.runs import run_questions
from store.settings import RunSettings


def curate(context: StageContext) -> bool:
    """Curate an iteration from scratch, so that new reviews are applied; False when stopped while the judge is running.

    Raises:
        JudgeUnavailable: the judge can't be queried; the sets are stored with the pairs ranked so far.
    """
    connection, job = context.connection, context.job
    assert job.iteration_id is not None
    iteration = get_iteration(connection, job.iteration_id)
    settings = settings_of(iteration)
    check_language(settings.curation.language)
    candidates = candidates_of(connection, iteration, settings)
    watch_reflections(connection, iteration, settings)
    included = d_plus(candidates, settings.curation, settings.seed)
    rows = (*included, *d_pm(candidates, settings.curation, settings.seed))
    store_unfit_attempts(connection, iteration, settings, included)

    def settle() -> tuple[NewCurated, ...]:
        """Store the sets with the preferences given so far; returns the rows of Dpref."""
        said = preferences_of(connection, iteration.id)
        preferred = d_pref(candidates, said, settings.curation, settings.judge, settings.seed)
        _store(connection, iteration, settings, (*rows, *preferred), len(candidates))
        return preferred

    if not TRAINING_SETTINGS[settings.training.setting].judged or settings.judge.by == "operator":
        settle()
        return True
    texts = {candidate.reflection_id: candidate for candidate in candidates}

    def open_pairs() -> list[JudgedPair]:
        return [
            _judged_pair(texts[row.reflection_id], texts[row.rejected_reflection_id])
            for row in settle()
            if row.reason == NOT_JUDGED and row.rejected_reflection_id is not None
        ]

    try:
        tally = asyncio.run(prefer(context, iteration, settings, open_pairs, len(candidates)))
    except JudgeUnavailable:
        settle()
        raise
    left = sum(row.reason == NOT_JUDGED for row in settle())
    _record_summary(connection, iteration, settings, tally, left)
    return tally.ended != "stopped"


def candidates_of(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> list[Candidate]:
    """Return the reflections of an iteration's rollouts that have a correction, with all that curation depends on.

    The attempt of a candidate is the one it reflects on: in later rounds a failed correction.
    """
    questions = {question.id: question for question in run_questions(connection, iteration.run_id, "train")}
    problems = problems_of(connection, iteration.run_id, settings, tuple(questions.values()))
    pool = pool_of(connection, iteration.run_id)
    trained = TRAINING_SETTINGS[settings.training.setting]
    kinds = {task.name: task.kind for task in settings.tasks}
    attempts = {attempt.id: attempt for attempt in rollouts.rollout_attempts(connection, iteration.id)}
    # Further corrections with a reflection only measure its lift: the first one is the one to train on.
    corrections = {
        one.reflection_id: one for one in attempts.values() if one.reflection_id is not None and not one.sample
    }
    detailed, told_wrong = detailed_kinds(settings), settings.reflection.on == "wrong"
    reviews = rollouts.reviewed(connection, iteration.id)
    shown = settings.correction.show_previous_attempt
    lifts = reflection_lifts(connection, iteration.id)
    prompts: dict[tuple[int, str], str] = {}
    reflections = rollouts.rollout_reflections(connection, iteration.id)
    places = _places(attempts, reflections)
    # Each program is verified for several sets but runs only once.
    solvers = {question.id: task_type(kinds[question.task]).solver(question.payload) for question in questions.values()}
    candidates = []
    for reflection in reflections:
        attempt, correction = attempts.get(reflection.attempt_id), corrections.get(reflection.id)
        question = questions.get(attempt.question_id) if attempt else None
        if attempt is None or question is None or correction is None or reflection.error is not None:
            continue
        problem, detail = problems[question.id], feedback_on(detailed, question.task, attempt)
        for key in (reflection.instruction, GENERAL):
            if (attempt.id, key) not in prompts:
                prompts[attempt.id, key] = training_prompts(
                    problem,
                    attempt.reasoning,
                    compose(key, pool),
                    show_previous_attempt=shown,
                    told_wrong=told_wrong,
                    detail=detail,
                )
        found = lifts.get(reflection.id)
        candidates.append(
            Candidate(
                reflection_id=reflection.id,
                question_id=question.id,
                attempt_id=attempt.id,
                task=question.task,
                instruction=reflection.instruction,
                text=reflection.text,
                correction_id=correction.id,
                correction_verdict=correction.verdict,
                reference=question.reference,
                question_text=render_question(question.text, question.options),
                attempt_text=attempt.reasoning,
                finish_reason=reflection.finish_reason,
                review=reviews.get(reflection.id),
                kind=kinds[question.task],
                correction_text=correction.reasoning,
                correction_finish_reason=correction.finish_reason,
                correction_wording=correction_wording(
                    problem,
                    reflection.text,
                    show_previous_attempt=shown,
                    told_wrong=told_wrong,
                    detail=detail,
                ),
                prompt_text=prompts[attempt.id, reflection.instruction],
                general_prompt_text=prompts[attempt.id, GENERAL],
                correction_request=correction_request(
                    problem,
                    attempt.reasoning,
                    reflection.text,
                    show_previous_attempt=shown,
                    told_wrong=told_wrong,
                    detail=detail,
                ),
                request_text=reflection_prompt(
                    trained.stages[0],
                    problem,
                    attempt.reasoning,
                    compose(reflection.instruction, pool),
                    told_wrong=told_wrong,
                    detail=detail,
                )[-1]["content"],
                attempt_verdict=attempt.verdict,
                lift=None if found is None else found.lift,
                lift_draws=0 if found is None else found.n_with,
                place=places[reflection.id],
                solves=solvers[question.id],
            )
        )
    return candidates


def store_unfit_attempts(
    connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings, included: Sequence[NewCurated]
) -> None:
    """Store which attempts are not trained on as answers to their question alone, with the reasons.

    Checked are the right first attempts (rehearsal), the sampled first attempts with a verdict, and the corrections of
    D+ (distillation).
    """
    problems = problems_of(connection, iteration.run_id, settings, run_questions(connection, iteration.run_id, "train"))
    corrected = {row.correction_id for row in included if row.included}
    reasons = {}
    for attempt in rollouts.rollout_attempts(connection, iteration.id):
        judged = attempt.verdict == "correct" or (attempt.verdict == "incorrect" and attempt.sample > 0)
        if attempt.error is None and (attempt.id in corrected or (attempt.turn == 1 and judged)):
            reason = unfit_first_attempt(attempt, problems, settings.curation)
            if reason:
                reasons[attempt.id] = reason
    with write(connection):
        replace_unfit_attempts(connection, iteration.id, reasons)


def _places(attempts: Mapping[int, StoredAttempt], reflections: Sequence[StoredReflection]) -> dict[int, int]:
    """Return the rank of each reflection: by question, then by the instructions and samples that led to it."""
    by_id = {reflection.id: reflection for reflection in reflections}

    def path(reflection: StoredReflection) -> tuple[tuple[str, int], ...]:
        attempt = attempts.get(reflection.attempt_id)
        before = by_id.get(attempt.reflection_id or 0) if attempt else None
        return (*(path(before) if before else ()), (reflection.instruction, reflection.sample))

    def key(reflection: StoredReflection) -> tuple[int, tuple[tuple[str, int], ...]]:
        attempt = attempts.get(reflection.attempt_id)
        return attempt.question_id if attempt else 0, path(reflection)

    return {reflection.id: place for place, reflection in enumerate(sorted(reflections, key=key), start=1)}


def _judged_pair(first: Candidate, second: Candidate) -> JudgedPair:
    return JudgedPair(
        first.reflection_id, second.reflection_id, first.question_text, first.attempt_text, first.text, second.text
    )


def _store(
    connection: sqlite3.Connection,
    iteration: Iteration,
    settings: RunSettings,
    rows: tuple[NewCurated, ...],
    trajectories: int,
) -> None:
    sizes = {name: sum(row.included for row in rows if row.set_name == name) for name in SET_NAMES}
    note = f"D+ {sizes['d_plus']} · D± {sizes['d_pm']} · Dpref {sizes['d_pref']} of {trajectories} trajectories"
    waiting = sum(row.reason == NOT_JUDGED for row in rows)
    if waiting and TRAINING_SETTINGS[settings.training.setting].judged:
        where = "on the Review screen" if settings.judge.by == "operator" else "for the judge"
        note += f"; {counted(waiting, 'pair waits', 'pairs wait')} {where}"
    with write(connection):
        replace_curated(connection, iteration.id, rows)
        set_progress(connection, iteration.id, "curate", trajectories, trajectories)
        set_note(connection, iteration.id, "curate", note)


def _record_summary(
    connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings, tally: Tally, left: int
) -> None:
    if not tally.requests and tally.ended == "done":
        return
    words = tally.words()
    level: EventLevel = "info"
    if tally.ended == "budget":
        words += (
            f". The budget of {counted(settings.judge.max_requests, 'request')} is used up: "
            f"{counted(left, 'pair is', 'pairs are')} not judged; raise judge.max_requests to judge more"
        )
        level = "warning"
    with write(connection):
        add_event(connection, level, "curate", words, iteration.id)
