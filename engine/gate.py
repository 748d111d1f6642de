"""What a gate says before it lets an operator decide: what the stage would do, in counts and time."""

from __future__ import annotations

import sqlite3

from engine.promotion import summarise
from engine.settled import compare_child
from engine.situation import settings_of, training_sweep
from engine.sweep import count
from engine.training.from_curated import SET_OF
from store.curation import curation_counts
from store.iterations import stages
from store.preferences import count_pairs_to_judge
from store.records import Iteration, Stage
from store.rollouts import reviewed
from store.runs import run_questions
from store.settings import RunSettings


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
        kept, left_out = _trained_on(connection, iteration, settings)
        steps = -(
            -round(kept * settings.training.epochs) // (settings.training.batch_size * settings.training.accumulation)
        )
        return (
            f"would train {settings.training.setting} on {kept} examples ({left_out} left out), "
            f"about {steps} steps at a learning rate of {settings.training.learning_rate:g}"
            f"{_open_pairs(connection, iteration, settings)}"
        )
    if gate == "evaluate":
        n = len(run_questions(connection, iteration.run_id, settings.evaluation.split))
        return f"would answer {n} held-out questions with parent and child"
    if known["evaluate"].state == "skipped":
        return "the evaluation was skipped: nothing compares the child with its parent"
    return summarise(compare_child(connection, iteration))


def _trained_on(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> tuple[int, int]:
    """How many examples the training has, and how many rows of its set are left out."""
    set_name = SET_OF[settings.training.setting]
    if set_name is None:
        return len(run_questions(connection, iteration.run_id, "train")), 0
    counts = curation_counts(connection, iteration.id).get(set_name, {})
    kept = counts.get("included", 0)
    return kept, sum(counts.values()) - kept


def _open_pairs(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> str:
    """How many pairs wait for an operator to rank them; empty where nobody waits."""
    if settings.training.setting != "dpo-judge":
        return ""
    waiting = count_pairs_to_judge(connection, iteration.id)
    where = "on the Review screen" if settings.judge.by == "operator" else "for the judge"
    return f"; waiting {where}: {waiting} pairs" if waiting else ""


def _time(known: dict[str, Stage], gate: str, owed: int) -> str:
    """An estimate from the measured rate of the stage before; empty when nothing was measured."""
    before = known["attempt"] if gate == "reflect" else known["reflect"]
    if before.started is None or before.ended is None or not before.done or before.ended <= before.started:
        return ""
    seconds = owed * (before.ended - before.started) / before.done
    return f", about {max(1, round(seconds / 60))} min at the rate of {before.name}"
