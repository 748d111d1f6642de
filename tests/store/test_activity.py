"""Tests the idle time that the benchmark reports: hand-computed intervals, and the times of stored rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.control.telemetry import add_metrics
from store.estimates.activity import generated_texts, length, merged
from store.runs import iterations
from tests.bench.activity import Activity, idleness, iteration_activity
from tests.support.rows import Rows

moments = st.integers(min_value=0, max_value=200)
intervals = st.lists(st.tuples(moments, moments).map(lambda pair: (float(min(pair)), float(max(pair)))), max_size=12)


@given(intervals)
def test_a_union_covers_each_second_once(found: list[tuple[float, float]]) -> None:
    seconds = {second for start, end in found for second in range(int(start), int(end))}
    assert length(found) == len(seconds)
    union = merged(found)
    assert all(one[1] < two[0] for one, two in itertools.pairwise(union))


@given(intervals, intervals, intervals)
def test_the_parts_of_an_iteration_add_up(
    generating: list[tuple[float, float]], training: list[tuple[float, float]], curating: list[tuple[float, float]]
) -> None:
    found = idleness(Activity((0.0, 200.0), tuple(generating), tuple(training), tuple(curating)))
    assert found.generating + found.training + found.curating + found.idle == pytest.approx(200)
    assert min(found.generating, found.training, found.curating, found.idle) >= 0


def test_an_iteration_by_hand() -> None:
    """40 s to load, 100 s of texts, 3 s of curation, 60 s of steps between two gaps, 30 s of the child's texts."""
    found = idleness(
        Activity(
            whole=(0, 300),
            generating=((40, 90), (80, 140), (265, 295)),
            training=((160, 220),),
            curating=((141, 144),),
        )
    )
    assert (found.generating, found.training, found.curating, found.idle) == (130, 60, 3, 107)
    assert found.without_generator == 110 and found.share_of(1800) == pytest.approx(110 / 1800)


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    made = Rows(tmp_path / "reflectevo.db")
    yield made
    made.connection.close()


def test_the_times_of_an_iteration_come_from_its_rows(rows: Rows) -> None:
    """Stages from 100 to 400; texts from 140 to 200 and, in the evaluation, from 350 to 380; steps from 250 to 310."""
    question = rows.question("one")
    attempt = rows.attempt(question)
    reflection, correction = rows.corrected(attempt, question)
    held_out = rows.attempt(rows.question("two", split="test"), protocol="oracle/1")
    copied = rows.attempt(rows.question("three"))
    for table, number, created, latency in (
        ("attempts", attempt, 160, 20),
        ("reflections", reflection, 180, 20),
        ("attempts", correction, 200, 20),
        ("attempts", held_out, 380, 30),
        ("attempts", copied, 1000, 900),
    ):
        rows.connection.execute(
            f"UPDATE {table} SET created = ?, latency = ?, completion_tokens = 7 WHERE id = ?",
            (created, latency, number),
        )
    # Texts reused from another iteration took no time here.
    rows.connection.execute("UPDATE attempts SET reused_from = 1 WHERE id = ?", (copied,))
    for step, created in enumerate((270, 290, 310), start=1):
        add_metrics(rows.connection, rows.iteration, "train", step, {"loss": 1.0})
        rows.connection.execute("UPDATE metrics SET created = ? WHERE step = ?", (created, step))
    for name, started, ended in (("attempt", 100, 200), ("curate", 205, 210), ("evaluate", 330, 395)):
        rows.connection.execute(
            "UPDATE stages SET started = ?, ended = ?, state = 'done' WHERE iteration_id = ? AND name = ?",
            (started, ended, rows.iteration, name),
        )
    iterations.update_iteration(rows.connection, rows.iteration, ended=400, state="done")
    found = iteration_activity(rows.connection, rows.iteration)
    assert found == Activity((100, 400), ((140, 200), (350, 380)), ((250, 310),), ((205, 210),))
    assert sum(text.tokens for text in generated_texts(rows.connection, [rows.iteration])) == 28
    assert idleness(found).idle == 300 - 60 - 30 - 60 - 5
