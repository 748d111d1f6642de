"""Tests preferences, pairs that wait for a judge, the judge's budget, and the funnel of curation."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.curation.curated import NOT_JUDGED, NewCurated, curation_counts, decisions_since, funnel, replace_curated
from store.curation.judge_requests import add_request, answer_request, judge_requests, requests_spent
from store.curation.preferences import add_preference, count_pairs_to_judge, pairs_to_judge, preferences_of
from store.curation.reviews import add_review
from store.database.connection import write
from store.runs.instruction_parts import instruction_parts, put_instruction_parts
from tests.support.rows import Rows


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """Build one wrong attempt with four reflections that all led to a right answer, in three open pairs."""
    made = Rows(tmp_path / "reflectevo.db")
    question = made.question("Is it?")
    attempt = made.attempt(question, text="It is not.")
    ids = [made.corrected(attempt, question, instruction=f"1-{n}-1", text=f"thought {n}")[0] for n in range(1, 5)]
    open_pairs = [
        NewCurated("d_pref", ids[one], ids[other], None, False, NOT_JUDGED) for one, other in ((0, 1), (0, 2), (2, 3))
    ]
    with write(made.connection):
        replace_curated(made.connection, made.iteration, open_pairs)
    yield made
    made.connection.close()


def _ids(rows: Rows) -> list[int]:
    return [row[0] for row in rows.connection.execute("SELECT id FROM reflections ORDER BY id")]


def test_an_open_pair_brings_what_an_operator_needs(rows: Rows) -> None:
    """Question, attempt and both texts in one query; no reference answer, which would reveal the decision."""
    (pair, *_) = pairs_to_judge(rows.connection, rows.iteration)
    assert (pair.question, pair.options, pair.attempt) == ("Is it?", ("yes", "no"), "It is not.")
    assert (pair.first_text, pair.second_text) == ("thought 1", "thought 2")
    assert pair.task == "quiz"
    assert "reference" not in pair.__dataclass_fields__


def test_a_judged_pair_leaves_the_list_whichever_was_chosen(rows: Rows) -> None:
    """Immediately, without waiting for the next curation; and pages continue where the last ended."""
    first, second, third, fourth = _ids(rows)
    assert count_pairs_to_judge(rows.connection, rows.iteration) == 3
    (page,) = pairs_to_judge(rows.connection, rows.iteration, limit=1)
    rest = pairs_to_judge(rows.connection, rows.iteration, after=page.id)
    assert [(pair.first_id, pair.second_id) for pair in (page, *rest)] == [
        (first, second),
        (first, third),
        (third, fourth),
    ]
    add_preference(rows.connection, second, first)
    add_preference(rows.connection, first, third, confidence=0.0, note="both good")
    assert [(pair.first_id, pair.second_id) for pair in pairs_to_judge(rows.connection, rows.iteration)] == [
        (third, fourth)
    ]
    assert count_pairs_to_judge(rows.connection, rows.iteration) == 1
    assert pairs_to_judge(rows.connection, rows.iteration + 1) == []


def test_preferences_are_kept_in_order_with_who_and_how_sure(rows: Rows) -> None:
    """Append-only: a changed decision is another row."""
    first, second, *_ = _ids(rows)
    add_preference(rows.connection, first, second, reviewer="me@box")
    add_preference(rows.connection, second, first, source="judge", confidence=0.7, reviewer="self p00", note="\ud800")
    found = preferences_of(rows.connection, rows.iteration)
    assert [(one.chosen_id, one.rejected_id, one.source, one.confidence, one.reviewer) for one in found] == [
        (first, second, "human", 1.0, "me@box"),
        (second, first, "judge", 0.7, "self p00"),
    ]
    assert found[1].note == "\ufffd"
    assert preferences_of(rows.connection, rows.iteration + 1) == []


def test_nonsense_is_refused(rows: Rows) -> None:
    """One side of a pair must be better, and confidence is at most 1."""
    first, second, *_ = _ids(rows)
    with pytest.raises(ValueError, match="itself"):
        add_preference(rows.connection, first, first)
    with pytest.raises(ValueError, match="between 0 and 1"):
        add_preference(rows.connection, first, second, confidence=1.5)
    with pytest.raises(sqlite3.IntegrityError):
        add_preference(rows.connection, first, 999)
    assert preferences_of(rows.connection, rows.iteration) == []


def test_a_request_is_spent_when_it_is_sent(rows: Rows) -> None:
    """The outcome doesn't matter: a request of a process that died meanwhile is spent too."""
    first, second, *_ = _ids(rows)

    def spend(budget: int) -> int | None:
        with write(rows.connection):
            return add_request(
                rows.connection,
                rows.iteration,
                first,
                second,
                judge="endpoint m",
                prompt_version="1",
                budget=budget,
            )

    one, other = spend(2), spend(2)
    assert one is not None and other is not None
    assert spend(2) is None
    answer_request(rows.connection, one, "first")
    assert requests_spent(rows.connection, rows.iteration) == 2
    assert [request.answer for request in judge_requests(rows.connection, rows.iteration)] == ["first", None]
    assert spend(3) is not None, "a raised budget goes on"


def test_the_funnel_adds_up_to_the_counts(rows: Rows) -> None:
    """Every row of every set is counted in exactly one place, by task and instruction."""
    first, second, third, fourth = _ids(rows)
    with write(rows.connection):
        replace_curated(
            rows.connection,
            rows.iteration,
            [
                NewCurated("d_plus", first, None, None, True, "included; one task only"),
                NewCurated("d_plus", second, None, None, True, "included"),
                NewCurated("d_plus", third, None, None, False, "leak"),
                NewCurated("d_plus", fourth, None, None, False, "leak"),
                NewCurated("d_pref", first, second, None, False, NOT_JUDGED),
            ],
        )
    found = funnel(rows.connection, rows.iteration)
    assert [(one.set_name, one.task, one.instruction, one.reason, one.included, one.n) for one in found] == [
        ("d_plus", "quiz", "1-1-1", "included", True, 1),
        ("d_plus", "quiz", "1-2-1", "included", True, 1),
        ("d_plus", "quiz", "1-3-1", "leak", False, 1),
        ("d_plus", "quiz", "1-4-1", "leak", False, 1),
        ("d_pref", "quiz", "1-1-1", NOT_JUDGED, False, 1),
    ]
    summed: dict[str, dict[str, int]] = {}
    for one in found:
        counts = summed.setdefault(one.set_name, {})
        counts[one.reason] = counts.get(one.reason, 0) + one.n
    assert summed == curation_counts(rows.connection, rows.iteration)


def test_decisions_after_a_time_are_counted(rows: Rows) -> None:
    """Tells a gate that curation is older than the operators' decisions."""
    first, second, *_ = _ids(rows)
    before = time.time() - 1
    add_review(rows.connection, first, "accept")
    add_preference(rows.connection, first, second)
    assert decisions_since(rows.connection, rows.iteration, before) == 2
    assert decisions_since(rows.connection, rows.iteration, time.time() + 1) == 0
    assert decisions_since(rows.connection, rows.iteration + 1, before) == 0


def test_only_decisions_in_force_that_differ_from_those_before_are_counted(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag, a withdrawn decision, and one replaced by the same or by a newer one are not counted twice."""
    first, second, third, fourth = _ids(rows)[:4]
    monkeypatch.setattr(time, "time", lambda: 100.0)
    add_review(rows.connection, first, "accept")
    add_preference(rows.connection, first, second)
    monkeypatch.setattr(time, "time", lambda: 300.0)

    def counted() -> int:
        return decisions_since(rows.connection, rows.iteration, 200.0)

    assert counted() == 0
    add_review(rows.connection, second, "flag")
    assert counted() == 0, "curation ignores flags"
    add_review(rows.connection, first, "reject")
    assert counted() == 1
    add_review(rows.connection, first, "clear")
    assert counted() == 1, "the accept that curation saw is gone"
    add_review(rows.connection, first, "accept")
    assert counted() == 0, "decided again as before"
    add_review(rows.connection, third, "reject")
    add_review(rows.connection, third, "clear")
    assert counted() == 0, "decided and taken back since"
    add_review(rows.connection, fourth, "reject")
    add_review(rows.connection, fourth, "accept")
    assert counted() == 1, "one reflection, decided twice"
    add_preference(rows.connection, second, first)
    assert counted() == 2, "a pair counts once, whichever side it names first"
    add_preference(rows.connection, first, second)
    assert counted() == 1
    add_preference(rows.connection, second, first, source="judge", confidence=0.7)
    assert counted() == 1, "a judge doesn't overrule a human"


def test_instruction_parts_are_those_of_their_run(rows: Rows) -> None:
    """In order, by kind; preparing again replaces them."""
    with write(rows.connection):
        put_instruction_parts(rows.connection, rows.run, {"plan": ("a", "b"), "verify": ()})
        put_instruction_parts(rows.connection, rows.run, {"plan": ("c", "a"), "locate": ("x\ud800",)})
    assert instruction_parts(rows.connection, rows.run) == {"verify": (), "locate": ("x\ufffd",), "plan": ("c", "a")}
    assert instruction_parts(rows.connection, rows.run + 1) == {"verify": (), "locate": (), "plan": ()}
