"""Tests the trajectory list: pages by key equal the full list, search accepts any text, no query scans."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from store.curation.reviews import add_review
from store.database.connection import open_reader, write
from store.records import TrajectoryRow
from store.rollouts import attempts
from store.rollouts.trajectories import (
    TrajectoryFilter,
    anchors,
    completed,
    count,
    filter_choices,
    match_expression,
    newest,
    page,
)
from store.rollouts.trajectory_detail import detail
from tests.support.rows import Rows

TASKS = ("letters", "sums", "quiz")
KEYS = ("1-1-1", "1-3-2", "2-8-1")
FLAGS = ("", "leak", "short leaky", "short")
WORDS = ("apples", "pears and", "counted", "Zürich", 'a "quoted" word', "it's -5 AND (x OR y)")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rows]:
    """Build some 160 trajectories of every kind, and a reader on them as `connection`."""
    made = Rows(tmp_path_factory.mktemp("list") / "reflectevo.db")
    writer = made.connection
    reviewable = []
    with write(writer):
        for number in range(90):
            task, split = TASKS[number % 3], ("train", "test")[number % 7 == 0]
            question = made.question(
                f"{WORDS[number % 6]} {number}", task=task, domain=("reasoning", "mathematics")[number % 2], split=split
            )
            if number % 4 == 0:
                attempt = made.attempt(question, "correct" if number % 8 else "unverified")
                attempts.finish_trajectory(writer, attempt, None, None)
                continue
            attempt = made.attempt(question, text=f"tried {WORDS[number % 5]}")
            for sample in range(2):
                verdict = ("correct", "incorrect")[(number + sample) % 3 > 0]
                reflection, _ = made.corrected(
                    attempt,
                    question,
                    verdict,
                    instruction=KEYS[number % 3],
                    sample=sample,  # type: ignore[arg-type]
                    flags=FLAGS[number % 4],
                    text=f"thought {WORDS[(number + sample) % 6]}",
                )
                reviewable.append(reflection)
    for position, reflection in enumerate(reviewable[::5]):
        add_review(writer, reflection, ("accept", "reject", "flag", "clear")[position % 4], reviewer="me")
    made.connection = open_reader(made.path)
    yield made
    made.connection.close()
    writer.close()


FILTERS = st.builds(
    TrajectoryFilter,
    iteration=st.sampled_from([None, 1, 99]),
    split=st.sampled_from([None, None, "train", "test"]),
    task=st.sampled_from([None, None, *TASKS, "gone"]),
    domain=st.sampled_from([None, "reasoning", "mathematics"]),
    transition=st.sampled_from([None, None, "i→c", "i→i", "c", "u"]),
    instruction=st.sampled_from([None, None, *KEYS]),
    review=st.sampled_from([None, None, "none", "accept", "reject", "flag"]),
    policy=st.sampled_from([None, 1, 2]),
    flag=st.sampled_from([None, None, "leak", "short", "sho"]),
    search=st.sampled_from(["", "", "apples", "coun", '"quoted word"', "thought Zurich", "-5 (x"]),
)


def _whole(rows: Rows, wanted: TrajectoryFilter) -> list[TrajectoryRow]:
    return page(rows.connection, wanted, limit=10_000)


def _expected(rows: Rows, wanted: TrajectoryFilter) -> list[int]:
    """Return ids by plain Python over every row: an independent implementation of the filters (without search)."""
    by_policy = dict(rows.connection.execute("SELECT id, policy_id FROM trajectories").fetchall())
    iteration = {None: None, 1: 1, 99: 99}[wanted.iteration]
    return [
        row.id
        for row in _whole(rows, TrajectoryFilter())
        if (iteration is None or row.iteration == iteration)
        and wanted.split in (None, row.split)
        and wanted.task in (None, row.task)
        and wanted.domain in (None, row.domain)
        and wanted.transition in (None, row.transition)
        and wanted.instruction in (None, row.instruction)
        and wanted.review in (None, row.review or "none")
        and wanted.policy in (None, by_policy[row.id])
        and (wanted.flag is None or wanted.flag in row.flags.split())
    ]


@given(FILTERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_filter_lets_through_what_it_says(many: Rows, wanted: TrajectoryFilter) -> None:
    """Every combination of filters returns exactly the rows that match all of them; a search only narrows it."""
    found = [row.id for row in _whole(many, wanted)]
    expected = _expected(many, wanted)
    if wanted.search:
        assert set(found) <= set(expected)
        assert found == sorted(found)
    else:
        assert found == expected
    assert count(many.connection, wanted) == len(found)


@given(FILTERS, st.integers(1, 40), st.integers(1, 12))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_both_ways_and_anchors_are_the_whole_list(
    many: Rows, wanted: TrajectoryFilter, limit: int, step: int
) -> None:
    """Paging forwards, backwards or jumping by anchors shows each row once and in order."""
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
        if piece[0].id == whole[0].id:
            break
    assert backwards == whole
    marks = anchors(many.connection, wanted, step=step)
    assert marks.total == len(whole)
    assert marks.last == (whole[-1].id if whole else 0)
    jumped = [page(many.connection, wanted, after=mark, limit=step) for mark in marks.ids]
    assert list(itertools.chain(*jumped)) == whole


def test_known_anchors_are_continued_with_what_was_appended(rows: Rows) -> None:
    """While rollouts run, the anchors of the open list are extended without reading it again."""
    wanted = TrajectoryFilter(task="quiz")
    known = anchors(rows.connection, wanted, step=2)
    assert (known.ids, known.total) == ((0,), 0)
    for number in range(7):
        question = rows.question(f"q{number}", task="quiz" if number % 3 else "other")
        attempts.finish_trajectory(rows.connection, rows.attempt(question, "correct"), None, None)
        known = anchors(rows.connection, wanted, known=known)
        assert known == anchors(rows.connection, wanted, step=2)
    assert known.total == 4


ANY_TEXT = st.text(st.characters(), max_size=30) | st.text("ab\"'*^()+-:{}[]~ .,\0\ud800ANDORNEAR", max_size=40)


@given(ANY_TEXT)
@example('"')
@example("NEAR(a b, 2)")
@example("reasoning: x")
@example("\ud83d")
@example("a" * 5_000)
@example("word " * 2_000)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_can_be_searched_for(many: Rows, text: str) -> None:
    """Operators paste any text; none of it may be parsed as FTS5 syntax or raise."""
    wanted = TrajectoryFilter(search=text)
    assert count(many.connection, wanted) == len(page(many.connection, wanted, limit=1_000))
    anchors(many.connection, wanted)


@pytest.mark.parametrize(
    ("search", "hits"),
    [
        ("wolf", ["the wolf eats"]),
        ("wol", ["the wolf eats"]),
        ("wol ", []),
        ("eats wolf", ["the wolf eats"]),
        ('"eats wolf"', []),
        ('"wolf eats"', ["the wolf eats"]),
        ("WOLF", ["the wolf eats"]),
        ("zurich", ["grüße aus Zürich"]),
        ("NOT", ["do NOT eat AND run"]),
        ("eat* AND", ["do NOT eat AND run"]),
        ("reflection:", ["reflection: none"]),
        ("-", ["the wolf eats", "grüße aus Zürich", "do NOT eat AND run", "reflection: none"]),
    ],
)
def test_what_a_search_finds(rows: Rows, search: str, hits: list[str]) -> None:
    """Every word must occur, a quoted part as a phrase, the last word as a prefix, without case or accents."""
    for text in ("the wolf eats", "grüße aus Zürich", "do NOT eat AND run", "reflection: none"):
        question = rows.question(f"Q {text}")
        attempts.finish_trajectory(rows.connection, rows.attempt(question, "correct", text=text), None, None)
    found = page(rows.connection, TrajectoryFilter(search=search))
    assert [row.excerpt for row in found] == hits


def test_details_and_siblings_are_of_one_attempt(many: Rows) -> None:
    """The detail view shows the row that was chosen, and its siblings are the reflections on the same attempt."""
    whole = _whole(many, TrajectoryFilter())
    by_attempt: dict[int, list[int]] = {}
    for row in whole:
        found = detail(many.connection, row.id)
        assert found is not None
        # The list contains an excerpt, the detail the full texts.
        assert (found.row.id, found.row.transition, found.row.review) == (row.id, row.transition, row.review)
        assert found.attempt.question_id == found.question.id
        assert found.policy == "p00"
        assert found.question.options == ("yes", "no")
        if found.reflection is not None:
            assert found.correction is not None
            assert found.reflection.attempt_id == found.attempt.id
            assert found.correction.reflection_id == found.reflection.id
            assert row.excerpt == found.reflection.text
        by_attempt.setdefault(found.attempt.id, list(found.siblings)).remove(row.id)
    assert all(left == [] for left in by_attempt.values())
    assert detail(many.connection, 10**9) is None


def test_newest_are_the_last_rows_first(many: Rows) -> None:
    """The Monitor's list of newest trajectories."""
    assert newest(many.connection, 5) == _whole(many, TrajectoryFilter())[:-6:-1]


def test_filter_choices_are_the_stored_values(many: Rows) -> None:
    """Forms offer the existing values, found by skipping through indexes."""
    choices = filter_choices(many.connection)
    assert choices["task"] == sorted(TASKS)
    assert choices["instruction"] == sorted(KEYS)
    assert choices["transition"] == ["c", "i→c", "i→i", "u"]


def test_filter_choices_of_an_empty_list(rows: Rows) -> None:
    """Before the first trajectory there is nothing to choose from, and the skipping ends."""
    assert filter_choices(rows.connection)["task"] == []


def test_active_parts_of_a_filter_are_its_chips() -> None:
    """Only parts that filter something become chips."""
    assert TrajectoryFilter(task="a", iteration=3, search="").active() == {"task": "a", "iteration": "3"}


SINGLE = [
    TrajectoryFilter(),
    TrajectoryFilter(iteration=1),
    TrajectoryFilter(split="test"),
    TrajectoryFilter(task="sums"),
    TrajectoryFilter(domain="reasoning"),
    TrajectoryFilter(transition="i→c"),
    TrajectoryFilter(instruction="1-1-1"),
    TrajectoryFilter(review="none"),
    TrajectoryFilter(review="accept"),
    TrajectoryFilter(policy=1),
    TrajectoryFilter(flag="leak"),
    TrajectoryFilter(search="apples"),
]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("wanted", SINGLE, ids=lambda wanted: "+".join(wanted.active()) or "all")
def test_a_page_is_found_by_key_and_index(many: Rows, wanted: TrajectoryFilter, backwards: bool) -> None:
    """At 460,000 rows a page must neither scan the table, nor sort it, nor skip rows with OFFSET."""
    statements: list[str] = []
    many.connection.set_trace_callback(statements.append)
    try:
        page(many.connection, wanted, after=50, limit=20, backwards=backwards)
    finally:
        many.connection.set_trace_callback(None)
    (statement,) = [text for text in statements if text.startswith("SELECT t.id")]
    assert "OFFSET" not in statement.upper()
    plan = [row["detail"] for row in many.connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    inner = plan[: next(position for position, line in enumerate(plan) if line.startswith("SCAN t"))]
    # The page itself (a subquery `t` of at most `limit` rows) may be scanned and put in order; nothing else.
    assert inner, plan
    for line in inner:
        assert not line.startswith("SCAN") or "VIRTUAL TABLE INDEX" in line, plan
        assert "TEMP B-TREE" not in line, plan
    assert not any(line.startswith("SCAN") and not line.startswith("SCAN t") for line in plan[len(inner) :]), plan


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (TrajectoryFilter(task="sums"), "trajectories_task"),
        (TrajectoryFilter(iteration=1), "trajectories_iteration"),
        (TrajectoryFilter(transition="i→c"), "trajectories_transition"),
        (TrajectoryFilter(instruction="1-1-1"), "trajectories_instruction"),
        (TrajectoryFilter(policy=1), "trajectories_policy"),
        (TrajectoryFilter(review="accept"), "trajectories_review"),
    ],
)
def test_selective_filters_use_their_index(many: Rows, wanted: TrajectoryFilter, index: str) -> None:
    """A selective filter must not scan all other rows."""
    statements: list[str] = []
    many.connection.set_trace_callback(statements.append)
    count(many.connection, wanted)
    many.connection.set_trace_callback(None)
    plan = " ".join(row["detail"] for row in many.connection.execute(f"EXPLAIN QUERY PLAN {statements[-1]}"))
    assert index in plan


def test_match_expression_of_nothing_searchable_is_empty() -> None:
    """A search for punctuation alone filters nothing instead of finding nothing."""
    assert match_expression(' ... "-" ') == ""


@pytest.mark.parametrize("text", ["th", "the thir", "t", "x", "Thi", "third th"])
def test_the_start_of_a_word_finds_what_all_its_words_find(rows: Rows, text: str) -> None:
    """With its words spelled out, a search reads only as far as a page needs; it must find the same rows."""
    for n, words in enumerate(("the third thought", "these thorns", "a tree", "thé thin", "nothing")):
        question = rows.question(f"question {n}")
        attempt = rows.attempt(question, text=words)
        rows.corrected(attempt, question)
    expression = match_expression(text)
    plain = rows.connection.execute(
        "SELECT rowid FROM trajectory_search WHERE trajectory_search MATCH ? ORDER BY rowid", (expression,)
    ).fetchall()
    found = page(rows.connection, TrajectoryFilter(search=text))
    assert [row.id for row in found] == [row[0] for row in plain]
    assert ("*" in completed(rows.connection, expression)) is (text == "x")
