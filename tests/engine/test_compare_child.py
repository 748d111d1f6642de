"""Tests that the comparison of a child policy is computed once: the gate, its decision, the Lineage screen and a report
show the same numbers, whatever the seed of the run.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine.evaluation.promotion import Margins, decide, describe_rule, summarise
from engine.evaluation.protocol import protocol_name
from engine.evaluation.stored_results import compare_child
from engine.supervisor.gate_notes import describe_gate
from store.database.connection import write
from store.evaluation.comparisons import compare_policies
from store.records import Verdict
from store.runs import iterations
from store.runs.runs import run_questions
from tests.support.measured import Answer, answer_held_out
from tests.support.rows import Rows, run_settings

VERDICTS: tuple[Verdict, ...] = ("correct", "incorrect", "incorrect", "unverified")


def measured(directory: Path, seed: int) -> Rows:
    """A run whose parent and child answered the same 40 questions of two tasks, some of them without a verdict."""
    made = Rows(directory / f"{seed}.db", run_settings(seed=seed))
    draw = random.Random(3)
    with write(made.connection):
        for number in range(40):
            made.question(f"q{number}", task=("quiz", "sums")[number % 2], split="test")
        child = made.add_policy("p01", parent=made.policy, state="candidate", iteration=made.iteration)
        iterations.update_iteration(made.connection, made.iteration, child_id=child)
        questions = run_questions(made.connection, made.run, "test")
        for policy in (made.policy, child):
            answers: dict[int, Answer] = {}
            for question in questions:
                first = draw.choice(VERDICTS)
                answers[question.id] = first, draw.choice(VERDICTS) if first == "incorrect" else None
            answer_held_out(made, policy, protocol_name(made.settings, questions), answers)
    return made


@pytest.mark.parametrize("seed", [0, 7, 2**40])
def test_the_gate_decides_by_the_numbers_that_screens_and_reports_show(tmp_path: Path, seed: int) -> None:
    """Value, interval, p, n and the flips themselves, at both turns."""
    rows = measured(tmp_path, seed)
    iteration = rows.current()
    assert iteration.parent_id is not None and iteration.child_id is not None
    protocol = protocol_name(rows.settings, run_questions(rows.connection, rows.run, "test"))
    shown = compare_policies(rows.connection, iteration.parent_id, iteration.child_id, protocol)
    decided = compare_child(rows.connection, iteration)
    assert (decided.t1, decided.t2) == (shown["", "t1"], shown["", "t2"])
    assert 0 < decided.t2.n < 40 and decided.t2.low is not None and decided.t2.low < (decided.t2.high or 0)
    said = describe_gate(rows.connection, iteration, "promote")
    assert f"; {summarise(decided)}; " in said and describe_rule(decided, Margins(0.04, 0.04)) in said
    assert decide(rows.settings.evaluation, decided).reason.endswith(summarise(decided))
    rows.connection.close()


def test_the_interval_depends_on_the_answers_alone(tmp_path: Path) -> None:
    """The seed of the run once drew the resamples of the gate, and another seed those of the screen."""
    found = []
    for seed in (0, 7):
        rows = measured(tmp_path, seed)
        found.append(compare_child(rows.connection, rows.current()))
        rows.connection.close()
    assert found[0] == found[1]
