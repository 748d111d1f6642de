"""Tests the spot-check sample: deterministic, stratified by task and transition; its estimate reweights the strata."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from store.curation.review_queue import QueueItem, ReviewQueue, decisions, draw_queue, estimate, even_shares
from store.curation.reviews import add_review, newest_review
from tests.support.rows import Rows


def filled(rows: Rows, wrong: int = 60, right: int = 6) -> None:
    """Build reflections of one task: many that did not help and few that did."""
    for number in range(wrong + right):
        question = rows.question(f"q{number}")
        attempt = rows.attempt(question)
        verdict = "correct" if number < right else "incorrect"
        rows.corrected(attempt, question, verdict, instruction=f"1-{number % 4 + 1}-1")


def test_the_same_seed_gives_the_same_sample(rows: Rows) -> None:
    filled(rows)
    first = draw_queue(rows.connection, rows.iteration, 20, 7)
    assert draw_queue(rows.connection, rows.iteration, 20, 7) == first
    assert draw_queue(rows.connection, rows.iteration, 20, 8) != first
    assert len(first.items) == len({item.reflection_id for item in first.items}) == 20


def test_rare_transitions_get_an_even_share_and_instructions_take_turns(rows: Rows) -> None:
    filled(rows)
    queue = draw_queue(rows.connection, rows.iteration, 20, 0)
    assert queue.sizes == {("quiz", "i→c"): 6, ("quiz", "i→i"): 60}
    assert Counter(item.transition for item in queue.items) == {"i→c": 6, "i→i": 14}
    used = Counter(item.instruction for item in queue.items if item.transition == "i→i")
    assert set(used) == {"1-1-1", "1-2-1", "1-3-1", "1-4-1"} and max(used.values()) - min(used.values()) <= 1
    assert {item.transition for item in queue.items[:4]} == {"i→c", "i→i"}, "every prefix is spread"


def test_only_training_reflections_with_a_correction_are_drawn(rows: Rows) -> None:
    filled(rows, wrong=3, right=0)
    held_out = rows.question("held out", split="test")
    rows.corrected(rows.attempt(held_out, protocol="oracle/x"), held_out, protocol="oracle/x")
    unanswered = rows.question("open")
    rows.reflection(rows.attempt(unanswered))
    assert len(draw_queue(rows.connection, rows.iteration, 20, 0).items) == 3


def test_the_newest_decision_counts_and_a_cleared_one_doesnt(rows: Rows) -> None:
    filled(rows, wrong=3, right=0)
    queue = draw_queue(rows.connection, rows.iteration, 3, 0)
    one, two, _ = (item.reflection_id for item in queue.items)
    add_review(rows.connection, one, "accept", reviewer="ada")
    add_review(rows.connection, one, "reject", error_kind=4, note="no", reviewer="bob")
    add_review(rows.connection, two, "flag")
    add_review(rows.connection, two, "clear")
    assert decisions(rows.connection, queue.items) == {one: "reject"}
    newest = newest_review(rows.connection, one)
    assert newest is not None and (newest.decision, newest.error_kind, newest.note, newest.reviewer) == (
        "reject",
        4,
        "no",
        "bob",
    )
    assert newest_review(rows.connection, two) is None


def item(number: int, transition: str, task: str = "quiz") -> QueueItem:
    """Return an item of a sample."""
    return QueueItem(number, number, task, transition, "1-1-1", "")


def test_the_estimate_weights_cells_by_their_size() -> None:
    """10 % of the rows are i→c but half of the sample is: the plain share would be 50 %."""
    items = tuple(item(number, "i→c" if number < 10 else "i→i") for number in range(20))
    queue = ReviewQueue(items, {("quiz", "i→c"): 100, ("quiz", "i→i"): 900})
    reviewed = {number: "accept" if number < 10 else "reject" for number in range(20)}
    found = estimate(queue, reviewed)
    assert found.good.value is not None and abs(found.good.value - 0.1) < 1e-12
    assert found.good.low < 0.1 < found.good.high and found.good.n == 20
    assert found.agreement.value == 1.0 and found.by_task["quiz"] == found.good


def test_a_flag_is_done_but_decides_nothing() -> None:
    queue = ReviewQueue((item(1, "i→c"), item(2, "i→u")), {("quiz", "i→c"): 1, ("quiz", "i→u"): 1})
    found = estimate(queue, {1: "flag", 2: "accept"})
    assert (found.done, found.good.n, found.agreement.n) == (2, 1, 0)
    assert found.agreement.value is None, "the verifier said nothing about an unverified correction"


@given(
    st.dictionaries(st.tuples(st.text("abc", min_size=1), st.text("ic", min_size=1)), st.integers(1, 50), max_size=8),
    st.integers(1, 200),
)
def test_shares_use_the_target_and_no_cell_gives_more_than_it_has(
    sizes: dict[tuple[str, str], int], target: int
) -> None:
    shares = even_shares(sizes, target)
    assert sum(shares.values()) == min(target, sum(sizes.values()))
    assert all(0 <= shares[cell] <= sizes[cell] for cell in sizes)
    full = [shares[cell] for cell in sizes if shares[cell] == sizes[cell]]
    open_cells = [shares[cell] for cell in sizes if shares[cell] < sizes[cell]]
    assert not open_cells or max(open_cells) - min(open_cells) <= 1
    assert not (full and open_cells) or max(full) <= max(open_cells) + 1


@given(st.lists(st.sampled_from(["accept", "reject", "flag", ""]), min_size=1, max_size=40))
def test_every_estimate_is_a_share_within_its_interval(words: list[str]) -> None:
    items = tuple(item(n, ("i→c", "i→i", "i→u")[n % 3], ("a", "b")[n % 2]) for n in range(len(words)))
    sizes = {one.cell: 10 * (n + 1) for n, one in enumerate(items)}
    found = estimate(ReviewQueue(items, sizes), dict(enumerate(words)))
    for share in (found.good, found.agreement, *found.by_task.values()):
        assert share.value is None or (
            0 <= share.low <= share.value + 1e-9 and share.value <= share.high + 1e-9 <= 1 + 2e-9
        )
    assert found.done == sum(map(bool, words))
