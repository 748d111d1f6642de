"""Tests the numbers of Datasets, Instructions and Lineage: each is the count of the rows that it opens."""

from __future__ import annotations

import pytest

from store.control.telemetry import put_capability
from store.curation import curated
from store.curation.curated import NewCurated
from store.curation.datasets import dataset_facts, examples
from store.curation.reviews import add_review
from store.database import bulk
from store.database.connection import write
from store.errors import StorageRefused
from store.rollouts.attempts import finish_trajectory
from store.rollouts.instruction_yield import InstructionYield, instruction_wording, instruction_yields
from store.rollouts.trajectories import TrajectoryFilter, count
from store.runs import iterations, policies
from store.runs.lineage import answer_trajectory, common_protocols, lineage
from tests.support.rows import Rows


def test_yields_count_judged_corrections_of_training_questions_only(rows: Rows) -> None:
    for number, verdict in enumerate(("correct", "incorrect", "incorrect", "unverified")):
        question = rows.question(f"q{number}", task="quiz")
        rows.corrected(rows.attempt(question), question, verdict, instruction="1-2-1")
    other = rows.question("other", task="sums")
    rows.corrected(rows.attempt(other), other, "correct", instruction="1-2-1")
    held_out = rows.question("held out", split="test")
    rows.corrected(rows.attempt(held_out, protocol="o"), held_out, "correct", instruction="1-2-1", protocol="o")
    found = instruction_yields(rows.connection, rows.iteration)
    assert found == {
        "": {"1-2-1": InstructionYield(2, 4)},
        "quiz": {"1-2-1": InstructionYield(1, 3)},
        "sums": {"1-2-1": InstructionYield(1, 1)},
    }
    assert found[""]["1-2-1"].share == 0.5 and InstructionYield(0, 0).share is None
    wanted = TrajectoryFilter(iteration=rows.iteration, split="train", task="quiz", instruction="1-2-1")
    assert count(rows.connection, wanted) == 4, "what the number opens, the unverified one with it"


def test_wording_is_what_the_engine_published(rows: Rows) -> None:
    assert instruction_wording(rows.connection) == {}
    put_capability(rows.connection, "instructions", {"verify": ["a"], "locate": ["b"], "plan": ["c"], "general": "d"})
    assert instruction_wording(rows.connection) == {"verify": ["a"], "locate": ["b"], "plan": ["c"]}
    put_capability(rows.connection, "instructions", ["odd"])
    assert instruction_wording(rows.connection) == {}


def add_curated(rows: Rows, n: int = 7) -> list[int]:
    """Add `n` decisions for D+, every third left out; returns the reflections."""
    made, new = [], []
    for number in range(n):
        question = rows.question(f"q{number}")
        reflection, correction = rows.corrected(rows.attempt(question), question, "correct")
        made.append(reflection)
        left_out = number % 3 == 0
        new.append(NewCurated("d_plus", reflection, None, correction, not left_out, "leak" if left_out else "included"))
    with write(rows.connection):
        curated.replace_curated(rows.connection, rows.iteration, new)
        iterations.set_stage(rows.connection, rows.iteration, "curate", "running")
        iterations.set_stage(rows.connection, rows.iteration, "curate", "done")
    return made


def test_dataset_facts_count_rollouts_rows_and_later_decisions(rows: Rows) -> None:
    made = add_curated(rows)
    right = rows.question("right")
    finish_trajectory(rows.connection, rows.attempt(right, "correct"), None, None)
    facts = dataset_facts(rows.connection, rows.iteration)
    counted = facts.rollouts
    assert (counted.attempts, counted.incorrect, counted.reflections, counted.judged, counted.helped) == (8, 7, 7, 7, 7)
    assert sum(one.n for one in facts.counts) == 7 and sum(one.n for one in facts.counts if one.included) == 4
    assert facts.later_decisions == 0
    add_review(rows.connection, made[0], "reject")
    facts = dataset_facts(rows.connection, rows.iteration)
    assert facts.later_decisions == 1 and facts.curates_again
    iterations.set_stage(rows.connection, rows.iteration, "train", "running")
    assert not dataset_facts(rows.connection, rows.iteration).curates_again, "what one trains on is fixed"


def test_pages_of_examples_walk_both_ways_without_gap_or_repeat(rows: Rows) -> None:
    add_curated(rows, 11)
    forwards, key = [], 0
    while page := examples(rows.connection, rows.iteration, "d_plus", key=key, limit=3):
        forwards += [row.id for row in page]
        key = page[-1].id
    backwards, key = [], 10**9
    while page := examples(rows.connection, rows.iteration, "d_plus", key=key, direction=-1, limit=3):
        backwards = [row.id for row in page] + backwards
        key = page[0].id
    assert forwards == backwards == sorted(forwards) and len(forwards) == 7
    left_out = examples(rows.connection, rows.iteration, "d_plus", reason="leak")
    assert len(left_out) == 4 and {row.reason for row in left_out} == {"leak"}
    assert all(row.trajectory is not None and row.other_excerpt is None for row in left_out)
    plan = rows.connection.execute(
        "EXPLAIN QUERY PLAN SELECT * FROM curated WHERE iteration_id = 1 AND set_name = 'd_plus' AND included = 1"
        " AND (NULL IS NULL OR reason = NULL) AND id > 5 ORDER BY id LIMIT 3"
    ).fetchall()
    assert "curated_pages" in plan[0]["detail"] and len(plan) == 1, "a page is one search of an index, unsorted"


def test_the_lineage_is_in_the_order_of_the_tree(rows: Rows) -> None:
    one = rows.add_policy("p01", rows.policy, "promoted", rows.iteration)
    rows.add_policy("p02", rows.policy, "rejected")
    three = rows.add_policy("p03", one, "candidate")
    for policy, protocol in ((one, "oracle/a"), (three, "oracle/a"), (three, "oracle/b"), (one, "oracle/b")):
        policies.put_evaluation(
            rows.connection, policy_id=policy, iteration_id=None, protocol=protocol, task="", n=1, metrics={}
        )
    nodes = lineage(rows.connection, rows.run)
    assert [(node.policy.name, node.depth, node.last) for node in nodes] == [
        ("p00", 0, True),
        ("p01", 1, False),
        ("p03", 2, True),
        ("p02", 1, True),
    ]
    assert [node.iteration for node in nodes] == [None, 1, None, None]
    assert common_protocols(nodes[1], nodes[2]) == ["oracle/b", "oracle/a"], "the newest measurement first"
    assert common_protocols(nodes[0], nodes[1]) == []


def test_policies_show_what_was_measured_alike(rows: Rows) -> None:
    """Dev questions with an oracle for each; test questions, and without an oracle, for some, later."""
    one = rows.add_policy("p01", rows.policy, "promoted", rows.iteration)
    two = rows.add_policy("p02", one, "candidate")
    three = rows.add_policy("p03", two, "candidate")

    def measure(policy: int, protocol: str, second: float) -> None:
        metrics = {"acc_t1": {"value": 0.4}, "acc_t2": {"value": second}}
        with write(rows.connection):
            policies.put_evaluation(
                rows.connection, policy_id=policy, iteration_id=None, protocol=protocol, task="", n=9, metrics=metrics
            )

    def shown() -> list[tuple[str, float | None, bool]]:
        return [
            (node.shown.protocol if node.shown else "", node.shown.metrics["acc_t2"]["value"], node.apart)
            for node in lineage(rows.connection, rows.run)
            if node.shown
        ]

    measure(three, "oracle-free/test", 0.3)
    assert shown() == [("oracle-free/test", 0.3, False)], "nothing else was measured"
    for policy, second in ((rows.policy, 0.45), (one, 0.6), (two, 0.65)):
        measure(policy, "oracle/dev", second)
    measure(two, "oracle/test", 0.67)
    measure(two, "oracle-free/test", 0.35)
    measure(one, "oracle/test", 0.61)
    assert shown() == [
        ("oracle/dev", 0.45, False),
        ("oracle/dev", 0.6, False),
        ("oracle/dev", 0.65, False),
        ("oracle-free/test", 0.3, True),
    ]
    nodes = lineage(rows.connection, rows.run)
    assert common_protocols(nodes[1], nodes[2]) == ["oracle/dev", "oracle/test"], "two are compared as they are listed"


def test_an_answer_is_found_by_policy_protocol_and_question(rows: Rows) -> None:
    question = rows.question("held out", split="test")
    attempt = rows.attempt(question, "correct", protocol="oracle/x")
    finish_trajectory(rows.connection, attempt, None, None)
    expected = rows.connection.execute("SELECT id FROM trajectories").fetchone()[0]
    assert answer_trajectory(rows.connection, rows.policy, "oracle/x", question) == expected
    assert answer_trajectory(rows.connection, rows.policy, "oracle/y", question) is None


def test_bulk_rows_are_checked_as_a_whole(rows: Rows) -> None:
    """Corrections, reflections and attempts refer to each other in a cycle; missing rows are detected at the end."""
    question = rows.question("q")
    common = ("1", "", 0.0, 0.0)
    attempt = (
        *(500, rows.iteration, question, rows.policy, "", 1, None, 0, "t", "A", "incorrect", "", 0.0, 1, 1, "stop", 1),
        *common,
    )
    correction = (501, rows.iteration, question, rows.policy, "", 2, 500, *attempt[7:])
    reflection = (500, rows.iteration, 500, "1-1-1", 0, rows.policy, "", "r", 1, 1, "stop", 1, "1", "", 0.0, "", 0.0)
    bulk.insert_tables(rows.connection, {"attempts": [attempt, correction]})
    with pytest.raises(StorageRefused, match="the first in 'attempts'"):
        bulk.finish(rows.connection)
    bulk.insert_tables(rows.connection, {"reflections": [reflection]})
    trajectory = (
        *(1, rows.iteration, rows.policy, question, 500, 500, 501, "train", "quiz", "d", "i→i", "1-1-1", "", ""),
    )
    bulk.insert_tables(rows.connection, {"trajectories": [trajectory]})
    bulk.finish(rows.connection)
    found = rows.connection.execute("SELECT rowid FROM trajectory_search WHERE trajectory_search MATCH 'r'").fetchall()
    assert [row[0] for row in found] == [1]
    assert [(one.reflection, one.helped) for one in bulk.outcomes(rows.connection, rows.iteration)] == [(500, False)]
