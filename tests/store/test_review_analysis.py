"""Tests the shares of error kinds and of localised errors: each reflection counts once, samples are weighted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database

from store.curation.review_analysis import (
    ReviewedErrors,
    ReviewedReflection,
    analyse,
    error_shares,
    review_analysis,
    samples,
)
from store.curation.review_queue import (
    DEFAULT_SAMPLE,
    QueueItem,
    ReviewQueue,
    draw_queue,
    error_marks,
    even_shares,
    weighted_share,
)
from store.curation.reviews import ERROR_KINDS, NAMES_ERROR, ErrorMarks, Sample, add_review, newest_review
from store.database import migrations
from store.database.connection import open_writer, write
from store.errors import DatabaseFailed
from store.evaluation.intervals import wilson
from store.runs import iterations
from tests.support.rows import Rows


def reflections(rows: Rows, n: int, *, task: str = "quiz", right: int = 0, on_right: int = 0) -> list[int]:
    """Add reflections on wrong attempts, the first `right` of which helped, and `on_right` on right attempts."""
    made = []
    with write(rows.connection):
        for number in range(n + on_right):
            question = rows.question(f"{task} {rows.iteration} {number}", task=task)
            attempt = rows.attempt(question, "incorrect" if number < n else "correct")
            reflection, _ = rows.corrected(attempt, question, "correct" if number < right else "incorrect")
            made.append(reflection)
    return made


def row(found: tuple[ReviewedErrors, ...], iteration: int | None, policy: str, task: str) -> ReviewedErrors:
    """Return the only row of a group."""
    (one,) = [one for one in found if (one.iteration, one.policy, one.task) == (iteration, policy, task)]
    return one


def test_a_run_without_reviews_has_no_analysis(rows: Rows) -> None:
    assert review_analysis(rows.connection, rows.run) == ()
    reflections(rows, 3)
    assert review_analysis(rows.connection, rows.run) == ()
    assert error_shares([]).read == 0 and error_shares([], {}).covered == 0.0


def test_the_newest_review_of_each_reflection_counts_once(rows: Rows) -> None:
    """Superseded, withdrawn and restored reviews, of several operators."""
    one, two, three, four, *_ = reflections(rows, 6)
    add_review(rows.connection, one, "reject", error_kind=1, names_error="yes", reviewer="ada")
    add_review(rows.connection, one, "reject", error_kind=8, names_error="no", reviewer="bob")
    add_review(rows.connection, two, "accept", error_kind=2, names_error="yes", reviewer="ada")
    add_review(rows.connection, two, "clear", reviewer="ada")
    add_review(rows.connection, three, "accept", error_kind=2, names_error="no", reviewer="ada")
    add_review(rows.connection, three, "clear", reviewer="ada")
    add_review(rows.connection, three, "flag", error_kind=8, names_error="partly", reviewer="ada")
    add_review(rows.connection, four, "accept", reviewer="cy")
    found = review_analysis(rows.connection, rows.run)
    assert [(one.iteration, one.policy, one.task) for one in found] == [
        (1, "p00", "quiz"),
        (1, "p00", ""),
        (None, "p00", "quiz"),
        (None, "p00", ""),
    ]
    quiz = row(found, 1, "p00", "quiz")
    shares = quiz.reviewed
    assert (shares.read, shares.kinds_n, shares.names_n, quiz.reviewers) == (3, 2, 2, 3)
    assert {kind: share.value for kind, share in shares.kinds.items() if share.value} == {8: 1.0}
    assert {word: share.value for word, share in shares.names.items()} == {"yes": 0.0, "partly": 0.5, "no": 0.5}
    expected = wilson(2, 2)
    assert (shares.kinds[8].low, shares.kinds[8].high) == (expected.low, expected.high)
    assert row(found, None, "p00", "").reviewed == shares


def test_the_review_in_force_holds_what_it_records_about_the_error(rows: Rows) -> None:
    one, two = reflections(rows, 2)
    add_review(rows.connection, one, "accept", error_kind=9, names_error="partly", sample=Sample(50, 7))
    newest = newest_review(rows.connection, one)
    assert newest is not None and newest.marks == ErrorMarks(9, "partly")
    add_review(rows.connection, two, "reject")
    assert error_marks(rows.connection, [one, two, 99]) == {one: ErrorMarks(9, "partly"), two: ErrorMarks()}
    add_review(rows.connection, one, "clear")
    assert error_marks(rows.connection, [one, two]) == {two: ErrorMarks()}
    for wrong in ({"error_kind": 10}, {"error_kind": 0}, {"names_error": "perhaps"}):
        with pytest.raises(sqlite3.IntegrityError):
            add_review(rows.connection, two, "reject", **wrong)  # type: ignore[arg-type]


def test_reflections_on_right_attempts_have_no_error_to_name(rows: Rows) -> None:
    made = reflections(rows, 2, on_right=2)
    for one in made:
        add_review(rows.connection, one, "accept", error_kind=9, names_error="no", sample=DEFAULT_SAMPLE)
    found = row(review_analysis(rows.connection, rows.run), 1, "p00", "quiz")
    assert (found.reviewed.read, found.not_counted) == (2, 2)
    assert found.reviewed.names["no"].n == 2
    assert found.sample is not None and (found.sample.drawn, found.sample.shares.read) == (2, 2)


def test_tasks_iterations_and_policies_are_kept_apart(rows: Rows) -> None:
    """The child writes the reflections of the second iteration; a policy can write those of several iterations."""
    first = [*reflections(rows, 2), *reflections(rows, 2, task="sums")]
    parent, one_iteration = rows.policy, rows.iteration
    stored = rows.settings.model_dump(mode="json")
    with write(rows.connection):
        child = rows.add_policy("p01", parent=parent, state="promoted", iteration=one_iteration)
        rows.iteration = iterations.add_iteration(rows.connection, rows.run, child, stored, 0)
    rows.policy = child
    second = reflections(rows, 2)
    with write(rows.connection):
        rows.iteration = iterations.add_iteration(rows.connection, rows.run, parent, stored, 0)
    rows.policy = parent
    third = reflections(rows, 1)
    for one in first:
        add_review(rows.connection, one, "reject", error_kind=1, names_error="no")
    for one in second:
        add_review(rows.connection, one, "accept", error_kind=1, names_error="yes")
    add_review(rows.connection, third[0], "accept", names_error="yes")
    found = review_analysis(rows.connection, rows.run)
    names = {(one.iteration, one.policy, one.task): one.reviewed.names["yes"] for one in found}
    assert {key: (share.value, share.n) for key, share in names.items()} == {
        (1, "p00", "quiz"): (0.0, 2),
        (1, "p00", "sums"): (0.0, 2),
        (1, "p00", ""): (0.0, 4),
        (2, "p01", "quiz"): (1.0, 2),
        (2, "p01", ""): (1.0, 2),
        (3, "p00", "quiz"): (1.0, 1),
        (3, "p00", ""): (1.0, 1),
        (None, "p00", "quiz"): (1 / 3, 3),
        (None, "p00", "sums"): (0.0, 2),
        (None, "p00", ""): (0.2, 5),
        (None, "p01", "quiz"): (1.0, 2),
        (None, "p01", ""): (1.0, 2),
    }
    assert review_analysis(rows.connection, rows.run + 1) == ()


def test_the_shares_of_a_sample_are_weighted_by_cell(rows: Rows) -> None:
    """2 of 20 reflections helped, and half of a sample of 4 did. Only those that helped name the error."""
    made = reflections(rows, 20, right=2)
    queue = draw_queue(rows.connection, rows.iteration, 4, 7)
    for item in queue.items:
        names = "yes" if item.transition == "i→c" else "no"
        add_review(rows.connection, item.reflection_id, "accept", names_error=names, sample=Sample(4, 7))
    found = row(review_analysis(rows.connection, rows.run), 1, "p00", "quiz")
    assert found.reviewed.names["yes"].value == 0.5
    assert found.sample is not None
    assert (found.sample.size, found.sample.seed, found.sample.drawn, found.sample.shares.read) == (4, 7, 4, 4)
    share = found.sample.shares.names["yes"]
    assert share.value == pytest.approx(0.1) and share.low < 0.1 < share.high and share.n == 4
    # A reflection read outside the sample changes what was read, but not the sample.
    other = next(one for one in made if one not in {item.reflection_id for item in queue.items})
    add_review(rows.connection, other, "accept", names_error="yes")
    again = row(review_analysis(rows.connection, rows.run), 1, "p00", "quiz")
    assert again.reviewed.read == 5 and again.sample == found.sample


def test_the_sample_with_the_most_reviews_is_used(rows: Rows) -> None:
    reflections(rows, 20)
    assert samples(rows.connection, rows.iteration) == []
    few, many = (draw_queue(rows.connection, rows.iteration, 6, seed) for seed in (1, 2))
    for queue, n in ((many, 5), (few, 1)):
        for item in queue.items[:n]:
            add_review(rows.connection, item.reflection_id, "accept", names_error="yes", sample=queue.sample)
    assert samples(rows.connection, rows.iteration) == [Sample(6, 1), Sample(6, 2)]
    found = row(review_analysis(rows.connection, rows.run), 1, "p00", "").sample
    assert found is not None and (found.seed, found.drawn) == (2, 6) and found.shares.read >= 5


def test_reviews_without_a_recorded_sample_are_of_the_default_one_if_most_are_in_it(rows: Rows) -> None:
    """Such as those of older versions. Reviews that meet the default sample by chance are no sample."""
    n = 2 * DEFAULT_SAMPLE.size
    made = reflections(rows, n)
    queue = draw_queue(rows.connection, rows.iteration, DEFAULT_SAMPLE.size, DEFAULT_SAMPLE.seed)
    inside = [item.reflection_id for item in queue.items]
    outside = [one for one in made if one not in set(inside)]
    for one in (*inside[:1], *outside[:1]):
        add_review(rows.connection, one, "accept", error_kind=1)
    assert row(review_analysis(rows.connection, rows.run), 1, "p00", "").sample is None
    add_review(rows.connection, inside[1], "accept", error_kind=2)
    found = row(review_analysis(rows.connection, rows.run), 1, "p00", "").sample
    assert found is not None and (found.drawn, found.shares.read) == (DEFAULT_SAMPLE.size, 2)
    add_review(rows.connection, inside[2], "accept", names_error="yes")
    assert row(review_analysis(rows.connection, rows.run), 1, "p00", "").sample is None, "read outside any sample"


@pytest.mark.parametrize("target", [50, 200])
@pytest.mark.parametrize(("helped", "not_helped"), [(0.3, 0.3), (0.9, 0.1), (0.05, 0.05), (0.1, 0.7), (1.0, 0.02)])
def test_the_interval_of_a_sample_covers_the_share_of_the_iteration(
    target: int, helped: float, not_helped: float
) -> None:
    """In at least 93 of 100 samples, spread evenly over cells of unequal size."""
    draw = Random(3)
    sizes = {(task, "i→c"): n for task, n in (("a", 100), ("b", 30), ("c", 300))}
    sizes |= {(task, "i→i"): 1000 - sizes[task, "i→c"] for task in "abc"}
    named = {cell: round((helped if cell[1] == "i→c" else not_helped) * size) for cell, size in sizes.items()}
    truth = sum(named.values()) / sum(sizes.values())
    shares = even_shares(sizes, target)
    covered = 0
    for _ in range(400):
        outcomes = [(cell, n < named[cell]) for cell in sizes for n in draw.sample(range(sizes[cell]), shares[cell])]
        found = weighted_share(outcomes, sizes)
        covered += found.low <= truth <= found.high
    assert covered / 400 >= 0.93


def test_cells_that_nobody_read_are_said_to_be_missing() -> None:
    sizes = {("quiz", "i→c"): 10, ("quiz", "i→i"): 90, ("quiz", "c→c"): 500}
    found = error_shares([(("quiz", "i→c"), ErrorMarks(3, "yes"))], sizes)
    assert found.covered == pytest.approx(0.1)
    assert found.names["yes"].value == 1.0
    assert error_shares([(("quiz", "c→c"), ErrorMarks(3, "yes"))], sizes).covered == 0.0


def test_a_partly_read_sample_counts_what_was_read() -> None:
    items = tuple(QueueItem(n, n, "quiz", "i→i", "1-1-1", "") for n in range(10))
    queue = ReviewQueue(items, {("quiz", "i→i"): 100}, Sample(10, 0))
    read = [ReviewedReflection(n, 5, 1, "p00", ("quiz", "i→i"), ErrorMarks(1, "yes"), "ada") for n in range(3)]
    (found, *_) = analyse(read, {5: queue})
    assert found.sample is not None and (found.sample.drawn, found.sample.shares.read) == (10, 3)
    (found, *_) = analyse(read, {})
    assert found.sample is None, "no sample was drawn"


_marks = st.builds(
    ErrorMarks,
    st.one_of(st.none(), st.integers(1, len(ERROR_KINDS))),
    st.one_of(st.none(), st.sampled_from(NAMES_ERROR)),
)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["i→c", "i→i", "i→u", "c→i"]), _marks)))
def test_the_shares_of_all_values_sum_to_1(found: list[tuple[str, str, ErrorMarks]]) -> None:
    read = [((task, transition), marks) for task, transition, marks in found]
    for sizes in (None, {cell: 7 * place + 1 for place, (cell, _) in enumerate(read)}):
        shares = error_shares(read, sizes)
        assert shares.read == sum(cell[1].startswith("i") for cell, _ in read)
        for values in (shares.kinds.values(), shares.names.values()):
            assert not values or sum(one.value or 0.0 for one in values) == pytest.approx(1.0)
            assert all(0 <= one.low <= (one.value or 0.0) + 1e-9 for one in values)
            assert all((one.value or 0.0) <= one.high + 1e-9 <= 1 + 2e-9 for one in values)


def test_equal_weights_give_the_plain_share() -> None:
    found = weighted_share([("a", True), ("a", False), ("a", False)], {"a": 3})
    expected = wilson(1, 3)
    assert (found.value, found.n) == (pytest.approx(1 / 3), 3)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_reviews_of_the_fifth_schema_are_kept_and_readable_before_an_upgrade(tmp_path: Path) -> None:
    """A workspace is read by a newer terminal before its engine has upgraded it."""
    rows = Rows(tmp_path / "reflectevo.db")
    made = reflections(rows, 3)
    with closing(open_writer(rows.path)) as old:
        old.execute("DROP TABLE reviews")
        old.execute(
            "CREATE TABLE reviews (id INTEGER PRIMARY KEY, reflection_id INTEGER NOT NULL REFERENCES reflections(id),"
            " decision TEXT NOT NULL, error_kind INTEGER CHECK (error_kind BETWEEN 1 AND 8),"
            " note TEXT NOT NULL DEFAULT '', reviewer TEXT NOT NULL, created REAL NOT NULL)"
        )
        old.execute("PRAGMA user_version = 5")
        add_review(old, made[0], "reject", error_kind=4, note="no", reviewer="ada")
        add_review(old, made[1], "accept", sample=Sample(50, 7))
        for wanted in ({"names_error": "yes"}, {"error_kind": 9}):
            with pytest.raises(DatabaseFailed, match="start the engine once"):
                add_review(old, made[2], "accept", **wanted)  # type: ignore[arg-type]
        newest = newest_review(old, made[0])
        assert newest is not None and newest.marks == ErrorMarks(4, None)
        before = review_analysis(old, rows.run)
        assert row(before, 1, "p00", "quiz").reviewed.kinds[4].value == 1.0
        statements = migrations._statements(migrations.ERRORS_NAMED)
        for statement in statements:
            old.execute(statement)
        old.execute("PRAGMA user_version = 7")
        assert review_analysis(old, rows.run) == before
        assert newest_review(old, made[0]) == newest
        add_review(old, made[2], "accept", names_error="yes")
    rows.connection.close()


def test_the_upgrade_keeps_reviews_and_their_order(tmp_path: Path) -> None:
    with closing(open_writer(tmp_path / "reflectevo.db")) as connection:
        migrations._migrations().apply(Database(connection), stop_before="0007_errors_named")
        connection.execute("PRAGMA foreign_keys = OFF")
        old = [(3, 1, "accept", None, "a", "ada", 1.0), (8, 1, "reject", 8, "b", "bob", 2.0)]
        connection.executemany(
            "INSERT INTO reviews (id, reflection_id, decision, error_kind, note, reviewer, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            old,
        )
        migrations.migrate(connection)
        assert migrations.is_current(connection)
        kept = connection.execute(
            "SELECT id, reflection_id, decision, error_kind, note, reviewer, created FROM reviews ORDER BY id"
        ).fetchall()
        assert [tuple(one) for one in kept] == old
        newest = newest_review(connection, 1)
        assert newest is not None and (newest.id, newest.marks) == (8, ErrorMarks(8, None))


def test_a_decision_finds_its_list_row_by_an_index(rows: Rows) -> None:
    """The list has millions of rows; a decision must not scan it."""
    (one,) = reflections(rows, 1)
    seen: list[str] = []
    rows.connection.set_trace_callback(seen.append)
    add_review(rows.connection, one, "accept")
    rows.connection.set_trace_callback(None)
    (update,) = [statement for statement in seen if statement.startswith("UPDATE trajectories")]
    plan = " ".join(str(step[3]) for step in rows.connection.execute(f"EXPLAIN QUERY PLAN {update}"))
    assert "trajectories_parts" in plan and "SCAN" not in plan
    assert rows.connection.execute("SELECT review FROM trajectories").fetchone()[0] == "accept"
