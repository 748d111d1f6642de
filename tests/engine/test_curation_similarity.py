"""Tests of near-duplicate detection and the collapse alarm: similar texts are found, with the same result in every
process.
"""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.curation.diversity import Diversity, collapse_warning, diversity
from engine.curation.similarity import NearDuplicates, grams, jaccard, mean_similarity, sketch
from engine.curation.word_grams import distinct_3, repeated_share, word_grams
from engine.tasks.base import normalised

ROOT = Path(__file__).resolve().parents[2]
WORDS = "the part was read too fast and so one condition of it went missing in my answer to this".split()
TEXTS = st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)


@pytest.mark.parametrize(
    ("one", "other", "similarity"),
    [
        ("a b c", "a b c", 1.0),
        ("A  b c", "a b C", 1.0),
        ("a b c d", "a b c e", 1 / 3),
        ("a b", "a b", 1.0),
        ("a b", "a c", 0.0),
        ("", "", 1.0),
        ("", "a b c", 0.0),
    ],
)
def test_similarity_is_the_overlap_of_word_3_grams(one: str, other: str, similarity: float) -> None:
    """Case and spacing are ignored; a text too short for a gram is one gram."""
    assert jaccard(grams(one), grams(other)) == similarity


@given(st.lists(TEXTS, max_size=12), TEXTS, st.sampled_from((0.1, 0.5, 0.9, 1.0)))
def test_nothing_is_called_alike_that_is_not(taken: list[str], text: str, limit: float) -> None:
    """And equal texts always match, under any limit."""
    seen = NearDuplicates(limit)
    for key, other in enumerate(taken):
        seen.add(key, other)
    alike = seen.like(text)
    own = grams(text)
    if alike:
        assert any(jaccard(own, grams(other)) > limit or grams(other) == own for other in taken)
    if any(grams(other) == own for other in taken):
        assert alike


def test_near_duplicates_are_found_in_a_large_set() -> None:
    """One changed word in thirty is found among a thousand others, and not against itself."""
    draw = random.Random(1)
    texts = [" ".join(f"word{draw.randrange(5000)}" for _ in range(30)) for _ in range(1000)]
    seen = NearDuplicates(0.8)
    for key, text in enumerate(texts):
        seen.add(key, text)
    changed = [text.rsplit(" ", 1)[0] + " other" for text in texts[:200]]
    assert sum(seen.like(text) for text in changed) == 200
    assert not any(seen.like(text, but=key) for key, text in enumerate(texts))


def test_the_estimate_is_near_the_truth() -> None:
    """The mean similarity of a sample is estimated from sketches, and must not drift from the exact value."""
    draw = random.Random(2)
    texts = [" ".join(draw.choices(WORDS[:6], k=12)) for _ in range(40)]
    exact = [jaccard(grams(one), grams(other)) for one, other in combinations(texts, 2)]
    assert mean_similarity(texts) == pytest.approx(sum(exact) / len(exact), abs=0.02)
    assert mean_similarity(["the same text"] * 5) == 1.0
    assert mean_similarity([]) == mean_similarity(["one"]) == 0.0


def test_distinct_3() -> None:
    """Five equal texts of five words have three different 3-grams in fifteen."""
    assert distinct_3(["a b c d e"] * 5) == pytest.approx(0.2)
    assert distinct_3(["a b c", "d e f"]) == 1.0
    assert distinct_3(["a b", ""]) == 0.0


def test_sketches_are_the_same_in_every_process() -> None:
    """Hash randomisation must not affect them: a resumed curation includes the same rows."""
    script = "from engine.curation.similarity import sketch; print(sketch('one two three four').hashvalues.tolist())"
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert seen == {str(sketch("one two three four").hashvalues.tolist())}


def test_a_sample_depends_on_ids_and_seed_alone() -> None:
    """It must not depend on the order of rows, or two measurements of one iteration would differ."""
    texts = {number: f"text number {number} of the sample that is looked at" for number in range(60)}
    backwards = dict(reversed(texts.items()))
    assert diversity(texts, 3, 20) == diversity(backwards, 3, 20)
    assert diversity(texts, 3, 20).sampled == 20
    assert diversity({}, 3) == Diversity(0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("now", "then", "words"),
    [
        (Diversity(0.3, 0.8, 50), None, None),
        (Diversity(0.6, 0.8, 50), None, "mean similarity is 0.60, above 0.5"),
        (Diversity(0.6, 0.8, 9), None, None),
        (Diversity(0.3, 0.8, 50), Diversity(0.28, 0.85, 50), None),
        (Diversity(0.4, 0.8, 50), Diversity(0.2, 0.85, 50), "mean similarity rose from 0.20 to 0.40"),
        (Diversity(0.3, 0.4, 50), Diversity(0.28, 0.8, 50), "different word 3-grams fell from 80% to 40%"),
        (Diversity(0.4, 0.8, 50), Diversity(0.2, 0.85, 5), None),
    ],
)
def test_the_collapse_alarm(now: Diversity, then: Diversity | None, words: str | None) -> None:
    """Compared with the limit and with the previous iteration, never on a handful of texts."""
    warning = collapse_warning(now, 0.5, then)
    assert (warning is None) is (words is None)
    assert words is None or words in str(warning)


@given(st.text(alphabet="ab \n", max_size=40))
def test_repetition_is_what_is_not_distinct(text: str) -> None:
    """Both use the same definition of a word 3-gram: the distinct and repeated 3-grams of one text add up to all of
    them.
    """
    found = word_grams(text)
    assert len(found) == max(len(text.split()) - 2, 0)
    assert grams(text) == (frozenset(found) if found else frozenset({normalised(text)} - {""}))
    assert repeated_share(text) == (1 - distinct_3([text]) if found else 0.0)
    assert 0 <= repeated_share(text) < 1
