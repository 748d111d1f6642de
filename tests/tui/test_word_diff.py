"""Tests the word diff: kept, removed and added words, also without colour, and within bounds for long texts."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from reflectevo_tui.text.word_diff import MOST_WORDS, Change, word_changes
from reflectevo_tui.widgets.trajectory_detail import change_content


def test_replaced_words_stand_side_by_side() -> None:
    found = word_changes("The groups differ in age, so", "The groups differ in light exposure, so")
    assert found.changes == (
        Change("same", "The groups differ in"),
        Change("removed", "age,"),
        Change("added", "light exposure,"),
        Change("same", "so"),
    )
    assert change_content(found).plain == "The groups differ in [-age,-] {+light exposure,+} so"


def test_equal_texts_have_no_change() -> None:
    assert [change.kind for change in word_changes("a b\nc", "a  b\nc").changes] == ["same"]


def test_line_breaks_are_kept() -> None:
    assert word_changes("a\nb", "a\nc").changes[0].text == "a\n"


def test_programs_keep_their_indentation() -> None:
    before, after = "def f(x):\n    if x:\n        return 1", "def f(x):\n    if x:\n        return 2"
    found = word_changes(before, after)
    assert change_content(found).plain == "def f(x):\n    if x:\n        return [-1-] {+2+}"


def test_long_texts_are_compared_at_their_start_only() -> None:
    found = word_changes("word " * (MOST_WORDS + 5), "word " * 3)
    assert found.cut
    assert sum(len(change.text.split()) for change in found.changes) <= 2 * MOST_WORDS


@given(st.text("ab \n", max_size=60), st.text("ab \n", max_size=60))
def test_both_texts_can_be_read_from_the_changes(before: str, after: str) -> None:
    changes = word_changes(before, after).changes
    old = " ".join(change.text for change in changes if change.kind != "added")
    new = " ".join(change.text for change in changes if change.kind != "removed")
    assert re.findall(r"\S+", old) == before.split()
    assert re.findall(r"\S+", new) == after.split()
