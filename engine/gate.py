"""What a gate says before it lets an operator decide: what the stage would do, in counts and time."""

from __future__ import annotations

import sqlite3

from engine.promotion import summarise
from engine.settled import compare_child
from engine.situation import settings_of, training_sweep
from engine.sweep import count
from store.curation import curation_counts
from store.iterations import stages
from store.records import Iteration, Stage
from store.rollouts import reviewed
from store.runs import run_questions


def describe_gate(connection: sqlite3.Connection, iteration: Iteration, gate: str) -> str:
    """One or two sentences for the gate of a stage, or for `promote`."""
    settings = settings_of(iteration)
    known = {stage.name: stage for stage in stages(connection, iteration.id)}
    if gate == "attempt":
        return f"would answer {len(run_questions(connection, iteration.run_id, 'train'))} training questions"
    if gate in ("reflect", "correct"):
        sweep = training_sweep(connection, iteration.id)
        counts = count(sweep.sweep, sweep.done)
        wrong = counts.done["attempt"] - counts.correct["attempt"]
        owed = counts.total[gate] - counts.done[gate]
        what = "reflections" if gate == "reflect" else "corrections"
        return f"would generate {owed} {what} on {wrong} wrong answers{_time(known, gate, owed)}"
    if gate == "curate":
        by_hand = len(reviewed(connection, iteration.id))
        return f"would filter {known['correct'].done} trajectories; {by_hand} reviewed by hand"
    if gate == "train":
        set_name = "d_plus" if settings.training.setting == "sft-one-stage" else "d_pm"
        counts_by_reason = curation_counts(connection, iteration.id).get(set_name, {})
        kept = counts_by_reason.get("included", 0)
        left_out = sum(counts_by_reason.values()) - kept
        steps = -(
            -round(kept * settings.training.epochs) // (settings.training.batch_size * settings.training.accumulation)
        )
        return (
            f"would train {settings.training.setting} on {kept} examples ({left_out} left out), "
            f"about {steps} steps at a learning rate of {settings.training.learning_rate:g}"
        )
    if gate == "evaluate":
        n = len(run_questions(connection, iteration.run_id, settings.evaluation.split))
        return f"would answer {n} held-out questions with parent and child"
    return summarise(compare_child(connection, iteration))


def _time(known: dict[str, Stage], gate: str, owed: int) -> str:
    """An estimate from the measured rate of the stage before; empty when nothing was measured."""
    before = known["attempt"] if gate == "reflect" else known["reflect"]
    if before.started is None or before.ended is None or not before.done or before.ended <= before.started:
        return ""
    seconds = owed * (before.ended - before.started) / before.done
    return f", about {max(1, round(seconds / 60))} min at the rate of {before.name}"
