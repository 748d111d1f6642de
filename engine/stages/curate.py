"""The curating child: turns an iteration's trajectories into D+ and D±, with a reason for all that is left out."""

from __future__ import annotations

from engine.curation.sets import Candidate, Curated, d_plus, d_pm
from engine.situation import settings_of
from engine.stages.context import StageContext
from engine.sweep import gather_done
from engine.tasks.base import render_question
from store import rollouts
from store.connection import write
from store.curation import NewCurated, replace_curated
from store.iterations import get_iteration, set_note, set_progress
from store.runs import run_questions


def curate(context: StageContext) -> bool:
    """Curate an iteration, anew each time: reviews made meanwhile count."""
    connection, errand = context.connection, context.errand
    assert errand.iteration_id is not None
    iteration = get_iteration(connection, errand.iteration_id)
    settings = settings_of(iteration)
    attempts = rollouts.rollout_attempts(connection, iteration.id)
    reflections = rollouts.rollout_reflections(connection, iteration.id)
    done = gather_done(attempts, reflections)
    reviews = rollouts.reviewed(connection, iteration.id)
    corrections = {attempt.reflection_id: attempt for attempt in attempts if attempt.reflection_id is not None}
    candidates = []
    for question in run_questions(connection, iteration.run_id, "train"):
        entry = done.get(question.id)
        if entry is None or entry.attempt is None:
            continue
        for reflection in entry.reflections.values():
            correction = corrections.get(reflection.id)
            if reflection.error is not None or correction is None:
                continue
            candidates.append(
                Candidate(
                    reflection_id=reflection.id,
                    question_id=question.id,
                    attempt_id=entry.attempt.id,
                    task=question.task,
                    instruction=reflection.instruction,
                    text=reflection.text,
                    correction_id=correction.id,
                    correction_verdict=correction.verdict,
                    reference=question.reference,
                    question_text=render_question(question.text, question.options),
                    attempt_text=entry.attempt.reasoning,
                    attempt_answer=entry.attempt.answer,
                    finish_reason=reflection.finish_reason,
                    review=reviews.get(reflection.id),
                )
            )
    sets = (
        d_plus(candidates, settings.curation, settings.seed),
        d_pm(candidates, settings.curation, settings.seed),
    )
    sizes = [sum(row.included for row in rows) for rows in sets]
    with write(connection):
        replace_curated(connection, iteration.id, [_stored(row) for rows in sets for row in rows])
        set_progress(connection, iteration.id, "curate", len(candidates), len(candidates))
        set_note(connection, iteration.id, "curate", f"D+ {sizes[0]} · D± {sizes[1]} of {len(candidates)} trajectories")
    return True


def _stored(row: Curated) -> NewCurated:
    return NewCurated(
        row.set_name, row.reflection_id, row.rejected_reflection_id, row.correction_id, row.included, row.reason
    )
