"""Tests the trajectory list by lift: its filters and its two orders, read through indexes, page by page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.curation.reviews import add_review
from store.database.connection import open_reader, write
from store.records import TrajectoryRow
from store.rollouts import attempts
from store.rollouts.lift import store_lifts
from store.rollouts.lift_order import lift_threshold
from store.rollouts.trajectories import TrajectoryFilter, anchors, count, filter_choices, page
from store.runs.iterations import add_iteration
from tests.support.lifted import add_sampled
from tests.support.rows import Rows

TASKS = ("letters", "sums", "quiz")
FLAGS = ("", "leak", "short leaky")
VERDICTS = ("cccc", "ccci", "ccii", "ciii", "iiii", "uuuu", "cciu")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rows]:
    """Build some 150 trajectories in two iterations, most of them with a lift, and a reader on them."""
    made = Rows(tmp_path_factory.mktemp("lifts") / "reflectevo.db")
    writer = made.connection
    first = made.iteration
    with write(writer):
        for number in range(90):
            if number == 60:
                made.iteration = add_iteration(writer, made.run, made.policy, {}, 0)
            task, flags = TASKS[number % 3], FLAGS[number % 3]
            if number % 5 == 0:
                question = made.question(f"right {number}", task=task)
                attempts.finish_trajectory(writer, made.attempt(question, "correct"), None, None)
                continue
            given = [VERDICTS[(number + sample) % 7] for sample in range(2)]
            without = "" if number % 11 == 0 else VERDICTS[3 * number % 7]
            add_sampled(made, f"apples {number}", given, without, task=task, flags=flags)
        for iteration in (first, made.iteration):
            store_lifts(writer, iteration)
    for position in range(1, 100, 9):
        add_review(writer, position, ("accept", "reject")[position % 2], reviewer="me")
    made.connection = open_reader(made.path)
    yield made
    made.connection.close()
    writer.close()


LIFTS = [None, "helped", "no difference", "hurt", "unknown", ">= 0.25", ">=0.5", "≥ −0.25", "of a later version"]
FILTERS = st.builds(
    TrajectoryFilter,
    iteration=st.sampled_from([None, 1, 2, 99]),
    task=st.sampled_from([None, None, *TASKS]),
    transition=st.sampled_from([None, None, "i→c", "i→i"]),
    review=st.sampled_from([None, None, "none", "accept"]),
    flag=st.sampled_from([None, None, "leak"]),
    lift=st.sampled_from(LIFTS),
    order=st.sampled_from([None, "highest lift", "lowest lift"]),
    search=st.sampled_from(["", "", "apples", "thought 1"]),
)


def _whole(rows: Rows, wanted: TrajectoryFilter) -> list[TrajectoryRow]:
    return page(rows.connection, wanted, limit=10_000)


def _admits(wanted: str | None, lift: float | None) -> bool:
    if wanted is None:
        return True
    if lift is None:
        return wanted == "unknown"
    least = lift_threshold(wanted)
    if least is not None:
        return lift >= least
    return {"helped": lift > 0, "no difference": lift == 0, "hurt": lift < 0}.get(wanted, False)


def _place(order: str | None, row: TrajectoryRow) -> tuple[float, ...]:
    if order is None:
        return (row.id,)
    if row.lift is None:
        return (1, 0, row.id)
    sign = -1 if order == "highest lift" else 1
    return (0, sign * row.lift, sign * row.id)


def _expected(rows: Rows, wanted: TrajectoryFilter) -> list[TrajectoryRow]:
    """Return the rows by plain Python over the list without this filter and order."""
    plain = TrajectoryFilter(
        **{name: getattr(wanted, name) for name in ("iteration", "task", "transition", "review", "flag", "search")}
    )
    found = [row for row in _whole(rows, plain) if _admits(wanted.lift, row.lift)]
    return sorted(found, key=lambda row: _place(wanted.order, row))


@given(FILTERS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_list_by_lift_holds_what_its_filter_admits_in_its_order(many: Rows, wanted: TrajectoryFilter) -> None:
    """Unknown lifts are last in both orders, rows with equal lifts have a fixed order, and nothing appears twice."""
    found = _whole(many, wanted)
    assert found == _expected(many, wanted)
    assert count(many.connection, wanted) == len(found)


@given(FILTERS, st.integers(1, 40), st.integers(1, 12))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_both_ways_and_anchors_are_the_whole_ordered_list(
    many: Rows, wanted: TrajectoryFilter, limit: int, step: int
) -> None:
    """Paging continues behind any row: within a lift, between two lifts, and from the known to the unknown ones."""
    whole = _whole(many, wanted)
    forwards: list[TrajectoryRow] = []
    while piece := page(many.connection, wanted, after=forwards[-1].id if forwards else 0, limit=limit):
        assert len(piece) <= limit
        forwards += piece
    assert forwards == whole
    backwards: list[TrajectoryRow] = []
    while piece := page(
        many.connection, wanted, after=backwards[0].id if backwards else 0, limit=limit, backwards=True
    ):
        backwards = piece + backwards
    assert backwards == whole
    marks = anchors(many.connection, wanted, step=step)
    assert marks.total == len(whole)
    jumped = [page(many.connection, wanted, after=mark, limit=step) for mark in marks.ids]
    assert list(itertools.chain(*jumped)) == whole


def _plans(rows: Rows, wanted: TrajectoryFilter, **options: object) -> list[list[str]]:
    """Return the plan of the query inside each part of a page; what it returns may be put in order again."""
    statements: list[str] = []
    rows.connection.set_trace_callback(statements.append)
    try:
        page(rows.connection, wanted, limit=1_000, **options)  # type: ignore[arg-type]
    finally:
        rows.connection.set_trace_callback(None)
    plans = []
    for text in statements:
        if text.startswith("SELECT t.id"):
            plan = [row["detail"] for row in rows.connection.execute(f"EXPLAIN QUERY PLAN {text}")]
            plans.append(plan[: next(place for place, line in enumerate(plan) if line.startswith("SCAN t"))])
    return plans


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("order", ["highest lift", "lowest lift"])
@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({}, "trajectories_lift (lift"),
        ({"iteration": 1}, "trajectories_iteration_lift (iteration_id=? AND lift"),
        ({"task": "sums"}, "trajectories_lift (lift"),
        ({"lift": "helped"}, "trajectories_lift (lift"),
        ({"iteration": 2, "lift": ">= 0.25"}, "trajectories_iteration_lift (iteration_id=? AND lift"),
    ],
)
def test_an_order_by_lift_is_read_from_its_index(
    many: Rows, wanted: dict[str, object], index: str, order: str, backwards: bool
) -> None:
    """At 460,000 rows a page must neither sort the list nor compute a lift."""
    filtered = TrajectoryFilter(order=order, **wanted)  # type: ignore[arg-type]
    after = _whole(many, filtered)[10].id
    plans = _plans(many, filtered, after=after, backwards=backwards)
    known = [plan for plan in plans if any(index in line for line in plan)]
    assert len(known) == 1, plans
    for plan in plans:
        assert plan and not any("SCAN" in line or "TEMP B-TREE" in line for line in plan), plans


@pytest.mark.parametrize("lift", ["helped", "no difference", "hurt", ">= 0.25"])
def test_a_filter_by_lift_in_the_order_of_the_ids_uses_its_index(many: Rows, lift: str) -> None:
    """Only rows with a known lift are visited, in their order."""
    (plan,) = _plans(many, TrajectoryFilter(lift=lift), after=50)
    assert any("trajectories_lifted" in line for line in plan), plan
    assert not any("SCAN" in line or "TEMP B-TREE" in line for line in plan), plan


def test_the_other_lists_are_read_as_before(many: Rows) -> None:
    """The poller reads the newest rows with every snapshot: it uses no index by lift and no second statement."""
    (plan,) = _plans(many, TrajectoryFilter(), backwards=True)
    assert not any("lift" in line for line in plan), plan


def test_a_row_that_is_gone_continues_no_page(many: Rows) -> None:
    """Failed rows are deleted before they are generated again; the caller then counts anew."""
    assert page(many.connection, TrajectoryFilter(order="highest lift"), after=10**6) == []


def test_the_anchors_of_an_ordered_list_know_the_newest_row(many: Rows) -> None:
    """Otherwise a list whose filter excludes the newest rows would be read again and again."""
    newest = page(many.connection, TrajectoryFilter(), backwards=True, limit=1)[0].id
    assert anchors(many.connection, TrajectoryFilter(order="lowest lift", task="sums")).last == newest


def test_lifts_can_be_chosen_where_there_are_any(many: Rows, rows: Rows) -> None:
    """Without a lift the dialog offers none."""
    assert filter_choices(many.connection)["lift"] == [
        "helped",
        ">= 0.25",
        ">= 0.5",
        "no difference",
        "hurt",
        "unknown",
    ]
    assert filter_choices(rows.connection)["lift"] == []


@pytest.mark.parametrize(
    ("text", "least"),
    [
        (">= 0.25", 0.25),
        ("≥0.5", 0.5),
        (">= -0.5", -0.5),
        ("≥ −.5", -0.5),
        ("helped", None),
        (">= ", None),
        ("> 1", None),
    ],
)
def test_thresholds(text: str, least: float | None) -> None:
    assert lift_threshold(text) == least
