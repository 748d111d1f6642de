"""Tests of the pool of 32 instructions and the draws from it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.prompts.instructions import BUILT_IN, GENERAL, LOCATE, PLAN, VERIFY, compose, draw, parse


def drawn(
    spec: str | list[str],
    question: str = "q",
    seed: int = 0,
    iteration: int = 1,
    usage: dict[str, int] | None = None,
    yields: dict[str, tuple[int, int]] | None = None,
) -> tuple[str, ...]:
    return draw(spec, question_hash=question, seed=seed, iteration=iteration, usage=usage or {}, yields=yields or {})


def test_the_pool_is_twelve_sentences_and_32_different_instructions() -> None:
    """2 × 8 × 2 instructions of three sentences each, short enough for small models."""
    assert (len(VERIFY), len(LOCATE), len(PLAN)) == (2, 8, 2)
    texts = [compose(key) for key in BUILT_IN.keys]
    assert len(set(BUILT_IN.keys)) == len(set(texts)) == 32
    assert max(len(text.split()) for text in texts) < 40
    assert compose("1-3-2") == f"{VERIFY[0]} {LOCATE[2]} {PLAN[1]}"
    assert compose(GENERAL) not in texts


@pytest.mark.parametrize("key", ["", "1-3", "3-1-1", "1-9-1", "1-1-3", "0-1-1", "1-1-1-1", "a-b-c", "1-01-1", " 1-1-1"])
def test_unknown_keys_are_refused(key: str) -> None:
    """A misspelt key is an error with an example, not another instruction."""
    with pytest.raises(EngineError, match="1-3-2"):
        parse(key)
    with pytest.raises(EngineError):
        drawn([key])


@given(
    st.sampled_from(("random", "balanced", "adaptive")),
    st.integers(1, 32),
    st.text(max_size=10),
    st.integers(0, 2**40),
    st.dictionaries(st.sampled_from(BUILT_IN.keys), st.integers(0, 50)),
)
def test_draws_are_deterministic_and_without_repeats(
    way: str, count: int, question: str, seed: int, usage: dict[str, int]
) -> None:
    """A resumed iteration has exactly the same outstanding work as before."""
    yields = {key: (times // 2, times) for key, times in usage.items()}
    keys = drawn(f"{way}:{count}", question, seed, 1, usage, yields)
    assert len(keys) == len(set(keys)) == count
    assert set(keys) <= set(BUILT_IN.keys)
    assert keys == drawn(f"{way}:{count}", question, seed, 1, dict(reversed(usage.items())), yields)


def test_draws_differ_by_question_and_iteration() -> None:
    """Every question gets different instructions, and so does the next iteration."""
    assert len({drawn("random:2", f"q{n}") for n in range(50)}) > 30
    assert len({drawn("random:2", iteration=n) for n in range(50)}) > 30
    spread = Counter(key for n in range(3200) for key in drawn("random:1", f"q{n}"))
    assert len(spread) == 32
    assert max(spread.values()) < 160


def test_lists_and_all() -> None:
    """A list is used unchanged."""
    assert drawn("all") == BUILT_IN.keys
    assert drawn(["2-8-1", "1-1-1"]) == ("2-8-1", "1-1-1")


def test_balanced_takes_the_least_used() -> None:
    """Drawn one at a time, the complete pool is used before any repeat."""
    usage: Counter[str] = Counter()
    for n in range(64):
        usage.update(drawn("balanced:1", f"q{n}", usage=dict(usage)))
    assert set(usage.values()) == {2}
    assert len(usage) == 32


def test_adaptive_prefers_what_worked_and_still_explores() -> None:
    """Thompson sampling: the best instruction leads, an untried one is still drawn sometimes."""
    yields = dict.fromkeys(BUILT_IN.keys, (1, 60)) | {"2-4-1": (50, 60)}
    first = Counter(drawn("adaptive:1", f"q{n}", yields=yields)[0] for n in range(200))
    assert first["2-4-1"] > 190
    del yields["1-1-1"]
    assert any("1-1-1" in drawn("adaptive:1", f"q{n}", yields=yields) for n in range(200))


@pytest.mark.parametrize("spec", ["random:33", "balanced:99", "adaptive:40", "random:0", "some", "", "random:-1"])
def test_impossible_draws_are_refused(spec: str) -> None:
    """More draws than instructions are impossible without repeats."""
    with pytest.raises(EngineError):
        drawn(spec)


def test_impossible_yields_are_refused() -> None:
    """More successes than tries is a bug upstream, not a very good instruction."""
    with pytest.raises(EngineError, match="1-1-1"):
        drawn("adaptive:1", yields={"1-1-1": (3, 2)})


def test_the_general_instruction_can_be_drawn() -> None:
    """It is named alone, among keys, or added to a draw, which stays as it was."""
    assert drawn("general") == (GENERAL,)
    assert drawn(["1-1-1", GENERAL]) == ("1-1-1", GENERAL)
    for spec in ("random:3", "balanced:2", "adaptive:2", "all"):
        assert drawn(f"{spec}+general") == (*drawn(spec), GENERAL)


@pytest.mark.parametrize("spec", ["random:33+general", "some+general", "+general", "general+random:2"])
def test_adding_the_general_instruction_does_not_make_a_draw_possible(spec: str) -> None:
    """The mistake is in the draw."""
    with pytest.raises(EngineError):
        drawn(spec)
