"""Tests the arithmetic of the estimates: a formula with its unknowns filled in equals the plain calculation."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.estimates.symbolic import Symbolic, name, number, total

VALUES = {"rate": 3.0, "share": 0.25, "length": 40.0}

amounts = st.floats(min_value=0.5, max_value=1e6)
leaves = st.one_of(
    amounts.map(lambda value: (number(value), value)),
    st.sampled_from(sorted(VALUES)).map(lambda n: (name(n), VALUES[n])),
)


def _grown(inner: st.SearchStrategy[tuple[Symbolic, float]]) -> st.SearchStrategy[tuple[Symbolic, float]]:
    return st.one_of(
        st.tuples(inner, inner).map(lambda two: (two[0][0] + two[1][0], two[0][1] + two[1][1])),
        st.tuples(inner, leaves).map(lambda two: (two[0][0] * two[1][0], two[0][1] * two[1][1])),
        st.tuples(inner, leaves).map(lambda two: (two[0][0] / two[1][0], two[0][1] / two[1][1])),
    )


def filled(term: Symbolic) -> float:
    """Return the term with every name replaced by its value."""
    return sum(
        factor * math.prod(VALUES[unknown] ** power for unknown, power in product)
        for product, factor in term.factors.items()
    )


@given(st.recursive(leaves, _grown, max_leaves=8))
def test_a_formula_filled_in_is_the_plain_calculation(made: tuple[Symbolic, float]) -> None:
    term, value = made
    assert filled(term) == pytest.approx(value, rel=1e-9)
    assert term.known == (term.value is not None) == (not term.unknown)


def test_the_formula_reads_as_one_would_write_it() -> None:
    tokens = number(5_310_720)
    shown = (tokens / (name("tokens_per_s") * number(4)) + number(90) + number(2) * name("load_s")).words(
        "{:.0f}".format
    )
    assert shown == "90 + 2 × load_s + 1,327,680 ÷ tokens_per_s"
    assert (name("a") * name("a") / name("b")).words(str) == "a^2 ÷ b"
    assert (number(1) / name("a")).words(str) == "1 ÷ a"


def test_what_cancels_is_gone() -> None:
    assert (name("a") * number(6) / (name("a") * number(2))).value == 3
    assert (number(4) + number(-4)).value == 0 and total([]).value == 0


def test_what_went_in_is_remembered_also_once_it_is_a_number() -> None:
    term = number(3, "gpus") * number(4, "price") + name("load_s")
    assert term.uses == {"gpus", "price", "load_s"} and term.unknown == ("load_s",)


def test_a_sum_or_nothing_divides_nothing() -> None:
    with pytest.raises(ValueError, match="sum"):
        number(1) / (name("a") + number(1))
    with pytest.raises(ZeroDivisionError):
        number(1) / number(0)
