"""Protects the one truth about a child policy: what promotion decides by and what a report and the screens show are
computed apart (the engine from answers, the store from rows), and must be the same numbers."""

from __future__ import annotations

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.answers import Answer, Answered, Feedback
from engine.evaluation.metrics import compare
from store.evaluation.comparisons import PairedVerdict, difference, outcomes
from store.records import Verdict

VERDICTS: st.SearchStrategy[Verdict] = st.sampled_from(["correct", "incorrect", "unverified"])
PAIRS = st.lists(st.tuples(VERDICTS, st.none() | VERDICTS, VERDICTS, st.none() | VERDICTS), max_size=12)
TURNS: tuple[Literal["t1", "t2"], ...] = ("t1", "t2")


def answered(question: int, first: Verdict, second: Verdict | None) -> Answered:
    """The answers as the engine sees them."""
    turns = (Answer(first),) if second is None else (Answer(first), Answer(second))
    return Answered(question, "quiz", turns)


@given(PAIRS, st.sampled_from(["oracle", "oracle-free"]), st.integers(0, 3))
def test_engine_and_store_compare_alike(
    pairs: list[tuple[Verdict, Verdict | None, Verdict, Verdict | None]], feedback: Feedback, seed: int
) -> None:
    """Any verdicts, both protocols, both turns: value, interval, n, p and the flips themselves."""
    stored = [PairedVerdict(number, "quiz", *pair) for number, pair in enumerate(pairs)]
    parent = [answered(pair.question_id, pair.a_t1, pair.a_t2) for pair in stored]
    child = [answered(pair.question_id, pair.b_t1, pair.b_t2) for pair in stored]
    expected = compare(parent, child, protocol=feedback, seed=seed)
    for turn, theirs in zip(TURNS, (expected.acc_t1, expected.acc_t2), strict=True):
        ours = difference(outcomes(stored, turn, f"{feedback}/0123456789"), seed)
        assert (ours.n, ours.p, ours.gained, ours.lost) == (theirs.n, theirs.p, theirs.gained, theirs.lost)
        assert (ours.low, ours.high) == (theirs.low, theirs.high)
        assert ours.value is None if theirs.value is None else abs((ours.value or 0) - theirs.value) < 1e-12
