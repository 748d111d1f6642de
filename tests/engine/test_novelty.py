"""Tests of novelty, of comparisons between iterations, and of the warning that reflections lose their content."""

from __future__ import annotations

import random
from dataclasses import replace
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.curation.content_collapse import content_warning
from engine.curation.grounding import Reflected
from engine.curation.novelty import NEIGHBOURS, Novelty, character_grams, distance, matched, novelty
from engine.curation.task_shares import Drop, TaskShare, drop, overall

LONG = "I divided by the wrong number, so I should read the question again before I answer"

DISTANCES = [
    ("There is no r in news.", [], 1.0, 1.0),
    ("There is no r in news.", ["There is no r in news."], 0.0, 0.0),
    ("There is no r in news.", ["THERE  is no r\nin news."], 0.0, 0.0),
    ("There is no r in news.", ["There is no t in news."], 0.1, 0.5),
    ("There is no r in news.", ["Wrong gender: Kai is the child."], 0.8, 1.0),
    ("Both letters are there.", ["There is no d.", "Both letters are there."], 0.0, 0.0),
    (LONG, [LONG], 0.0, 0.0),
    (LONG, [f"{LONG} it"], 0.01, 0.2),
    (LONG, ["Divided by the wrong number"], 0.7, 1.0),
    (LONG, ["The letters in the magazine were counted twice, which the note does not need"], 1.0, 1.0),
    ("", [], 0.0, 0.0),
    ("", ["There is no d."], 0.0, 0.0),
    (" \n", [], 0.0, 0.0),
    ("no", ["no"], 0.0, 0.0),
    ("no", ["yes"], 1.0, 1.0),
    ("我把成都的人口算错了。", ["我把成都的人口算错了。"], 0.0, 0.0),
    ("我把成都的人口算错了。", ["我把上海的人口算错了。"], 0.2, 0.8),
    ("def f(x): return x", ["def f(x): return x"], 0.0, 0.0),
    ("def f(x): return x", ["x = 4"], 0.8, 1.0),
    ("x" * 100_000, ["y"], 1.0, 1.0),
]


@pytest.mark.parametrize(("text", "neighbours", "low", "high"), DISTANCES)
def test_distance_to_the_nearest_neighbour(text: str, neighbours: list[str], low: float, high: float) -> None:
    """Word 3-grams for long texts, characters for short ones; nothing is never new."""
    assert low <= distance(text, neighbours) <= high


def reflections(texts: list[str], task: str = "t", start: int = 0) -> dict[int, Reflected]:
    return {
        start + number: Reflected(task, start + number, f"question {number}", "", text)
        for number, text in enumerate(texts)
    }


def test_novel_reflections_are_counted_by_task() -> None:
    """Compared with their own task only; where there is nothing to compare with, nothing is measured."""
    now = reflections(["There is no r in news.", "The letters were counted twice."]) | reflections(["x"], "u", 10)
    before = reflections(["There is no r in news."]) | reflections(["The letters were counted twice."], "v", 20)
    found = novelty(now, before, {}, 1)
    assert found.shares == {"t": TaskShare(1, 2, 2)}
    assert found.mean is not None and 0.4 < found.mean < 0.5
    assert novelty(now, {}, {"t": ["The letters were counted twice"]}, 1).shares == {"t": TaskShare(1, 2, 2)}
    assert novelty(now, {}, {}, 1) == Novelty({}, None)
    assert novelty({}, before, {}, 1) == Novelty({}, None)


def test_two_iterations_are_compared_with_equally_many_neighbours() -> None:
    """A nearest neighbour among more texts is nearer."""
    many, few = reflections(["a"] * 30) | reflections(["b"] * 4, "u", 50), reflections(["c"] * 7, start=90)
    one, other = matched(many, few, 1)
    assert len(one) == len(other) == 7
    assert {found.task for found in (*one.values(), *other.values())} == {"t"}
    assert matched(dict(reversed(many.items())), few, 1) == (one, other)
    assert matched({}, few, 1) == ({}, {})


TEXTS = st.lists(st.sampled_from(["no", "r", "news", "the", "二"]), max_size=12).map(" ".join)


@given(st.lists(TEXTS, max_size=20), st.lists(TEXTS, max_size=20), st.integers(0, 3), st.integers(1, 15))
def test_novelty_does_not_depend_on_order(texts: list[str], earlier: list[str], seed: int, most: int) -> None:
    """It is bounded, and the same for the same seed."""
    now, before = reflections(texts), reflections(earlier, start=100)
    found = novelty(now, before, {"t": ["no r"]}, seed, most)
    backwards = novelty(dict(reversed(now.items())), dict(reversed(before.items())), {"t": ["no r"]}, seed, most)
    assert found == backwards
    assert found.mean is None or 0 <= found.mean <= 1
    for one in found.shares.values():
        assert 0 <= one.hits <= one.measured <= most


def test_cost_does_not_grow_with_the_product_of_two_iterations() -> None:
    """Both samples are bounded."""
    draw = random.Random(1)
    texts = [" ".join(f"word{draw.randrange(900)}" for _ in range(20)) for _ in range(20_000)]

    def seconds(count: int) -> float:
        start = process_time()
        novelty(reflections(texts[:count]), reflections(texts[-count:]), {}, 1)
        return process_time() - start

    assert seconds(20_000) < 20 * max(seconds(2_000), 0.02)
    assert NEIGHBOURS == 200


def test_a_drop_is_compared_over_the_same_tasks() -> None:
    """Another mix of tasks changes the overall share, although neither task changed."""
    then = {"easy": TaskShare(80, 100, 100), "hard": TaskShare(2, 20, 20)}
    now = {"easy": TaskShare(16, 20, 20), "hard": TaskShare(10, 100, 100), "new": TaskShare(0, 50, 50)}
    found = drop(now, then)
    assert found is not None
    assert found.then == pytest.approx(found.now)
    assert not found.certain
    assert drop(now, {}) is drop({}, then) is None
    assert overall({}) is None
    assert overall(then) == pytest.approx(82 / 120)


def test_reflections_on_few_questions_are_no_evidence() -> None:
    """A hundred reflections on five questions are five observations."""
    fell = drop({"t": TaskShare(30, 100, 100)}, {"t": TaskShare(60, 100, 100)})
    few = drop({"t": TaskShare(30, 100, 5)}, {"t": TaskShare(60, 100, 5)})
    assert fell is not None and fell.certain
    assert few is not None and not few.certain


def test_sampling_noise_seldom_passes_for_a_drop() -> None:
    """Of two samples of one policy, the later one is called certainly lower in about one of forty."""
    draw = random.Random(7)
    false = 0
    for _ in range(2000):
        one, other = (sum(draw.random() < 0.3 for _ in range(100)) for _ in range(2))
        found = drop({"t": TaskShare(one, 100, 100)}, {"t": TaskShare(other, 100, 100)})
        assert found is not None
        false += found.certain
    assert false / 2000 < 0.035


NONE = Drop(0.5, 0.5, 0.1)


@pytest.mark.parametrize(
    ("hits", "measured", "grounded_drop", "novel_drop", "words"),
    [
        (50, 100, None, None, None),
        (50, 100, NONE, NONE, None),
        (5, 100, NONE, None, "5% differ from the previous iteration's and the worked examples', fewer than 10%"),
        (0, 9, NONE, None, None),
        (0, 0, None, None, None),
        (50, 100, Drop(0.5, 0.2, 0.1), NONE, "names something of its question or attempt fell from 50% to 20%"),
        (50, 100, Drop(0.5, 0.2, 0.4), NONE, None),
        (50, 100, Drop(0.9, 0.7, 0.1), NONE, None),
        (50, 100, Drop(0.2, 0.5, 0.1), NONE, None),
        (20, 100, NONE, Drop(0.8, 0.2, 0.1), "differs from the previous iteration's and the worked examples' fell"),
    ],
)
def test_the_warning(
    hits: int, measured: int, grounded_drop: Drop | None, novel_drop: Drop | None, words: str | None
) -> None:
    """Below the limit, or a fall that is both large and certain."""
    shares = {"t": TaskShare(hits, measured, measured)} if measured else {}
    warning = content_warning(shares, 0.1, grounded_drop, novel_drop)
    assert (warning is None) is (words is None)
    assert words is None or words in str(warning)


def test_a_limit_of_zero_never_warns_of_the_share() -> None:
    """It turns the limit off, not the comparison with the previous iteration."""
    shares = {"t": TaskShare(0, 100, 100)}
    assert content_warning(shares, 0.0, None, None) is None
    assert content_warning(shares, 0.0, None, Drop(0.5, 0.0, 0.1)) is not None


def test_characters_of_a_short_text() -> None:
    """A text of fewer characters is one gram."""
    assert character_grams("ab") == {"ab"}
    assert character_grams("A  bcd") == {"a bc", " bcd"}
    assert character_grams("") == frozenset()


def test_a_repeated_iteration_is_not_novel() -> None:
    """Nor is one that varies a word of each short sentence."""
    before = reflections([f"There is no {letter} in news." for letter in "abcdefgh"])
    now = {number: replace(one, text=one.text.replace("news", "the news")) for number, one in before.items()}
    assert overall(novelty(before, before, {}, 1).shares) == 0
    assert overall(novelty(now, before, {}, 1).shares) == 0
