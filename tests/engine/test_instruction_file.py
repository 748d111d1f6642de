"""Tests of an operator's own instruction parts: read with clear errors, stored with the run, drawn like the built-in
ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.commands.render_prompt import rerender
from engine.errors import EngineError
from engine.prompts.instruction_file import MOST_PARTS, load_parts
from engine.prompts.instructions import (
    BUILT_IN,
    GENERAL,
    LOCATE,
    PLAN,
    VERIFY,
    check_draw,
    compose,
    draw,
    parse,
)
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings

PARTS = {
    "verify": ("Check your attempt from its end.",),
    "locate": ("Look for a unit that you mixed up.", "Look for a sign that you lost."),
    "plan": ("Then write the plan as a list of three.",),
}
POOL = BUILT_IN.extended(PARTS)


def parts_file(folder: Path, text: str) -> Path:
    """Write a TOML file."""
    path = folder / "parts.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_parts_continue_the_keys(tmp_path: Path) -> None:
    """The built-in keys keep their meaning; new ones follow, past 9 too."""
    path = parts_file(
        tmp_path,
        'verify = ["Check your  attempt\\nfrom its end."]\n'
        'locate = ["Look for a unit that you mixed up.", "Look for a sign that you lost."]\n'
        'plan = ["Then write the plan as a list of three."]\n',
    )
    assert load_parts(path) == PARTS
    assert len(POOL.keys) == len(set(POOL.keys)) == 3 * 10 * 3
    assert set(BUILT_IN.keys) < set(POOL.keys)
    assert all(compose(key, POOL) == compose(key) for key in (*BUILT_IN.keys, GENERAL))
    assert compose("3-10-3", POOL) == f"{PARTS['verify'][0]} {PARTS['locate'][1]} {PARTS['plan'][0]}"
    assert compose("1-9-2", POOL) == f"{VERIFY[0]} {PARTS['locate'][0]} {PLAN[1]}"
    assert len({compose(key, POOL) for key in POOL.keys}) == len(POOL.keys)
    with pytest.raises(EngineError):
        compose("3-10-3")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('verify = ["', "is not TOML"),
        ('verify = ["a"]\nfoo = ["b"]', "has a key 'foo'"),
        ('verfy = ["a"]', "nearest that is known is 'verify'"),
        ('verify = "a"', "must be a list of sentences"),
        ("verify = [1]", "must be a list of sentences"),
        ('locate = ["Look for a gap.", " "]', "locate: sentence 2 is empty"),
        ('plan = ["Then plan.", "then  PLAN."]', "plan: sentence 2 ('then PLAN.') is in the pool already"),
        (f'verify = ["{VERIFY[1].upper()}"]', "verify: sentence 1"),
        (f"locate = {[f'Look for {n}.' for n in range(MOST_PARTS + 1)]}", "10 sentences, at most 9 of a kind"),
        ("", "holds no sentence"),
        ("verify = []", "holds no sentence"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """Errors are raised before anything is generated, with the file and the position."""
    path = parts_file(tmp_path, text)
    with pytest.raises(EngineError) as caught:
        load_parts(path)
    assert words in str(caught.value)
    assert f"reflection.parts: {path}" in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file, or one that is no text."""
    with pytest.raises(EngineError, match="can't be read"):
        load_parts(tmp_path / "none.toml")
    path = tmp_path / "parts.toml"
    path.write_bytes(b"verify = ['\xff']")
    with pytest.raises(EngineError, match="is not TOML"):
        load_parts(path)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("4-1-1", "3-1-1"), ("1-99-1", "1-10-1"), ("1-1-7", "1-1-3"), ("2_3_1", "2-3-1")],
)
def test_an_unknown_key_is_refused_with_the_nearest(key: str, nearest: str) -> None:
    """Raised by parsing a key, and by checking a list in the settings when the run is prepared."""
    with pytest.raises(EngineError, match=f"the nearest is '{nearest}'"):
        parse(key, POOL)
    with pytest.raises(EngineError, match=f"the nearest is '{nearest}'"):
        check_draw(["1-1-1", key], POOL)


@given(st.sampled_from(("random", "balanced", "adaptive")), st.integers(1, 90), st.integers(0, 9))
def test_every_draw_works_over_the_larger_pool(way: str, count: int, seed: int) -> None:
    """Draws have no repeats and include the new keys."""
    keys = draw(
        f"{way}:{count}", pool=POOL, question_hash="q", seed=seed, iteration=1, usage={}, yields={"3-10-3": (9, 9)}
    )
    assert len(keys) == len(set(keys)) == count
    assert set(keys) <= set(POOL.keys)
    check_draw(f"{way}:{count}", POOL)
    with pytest.raises(EngineError, match="the pool has 90"):
        check_draw(f"{way}:91", POOL)


def test_draws_over_the_larger_pool_reach_all_of_it() -> None:
    """`all`, a list, and balanced ones that use every key equally often."""

    def drawn(spec: str | list[str], question: str, usage: dict[str, int]) -> tuple[str, ...]:
        return draw(spec, pool=POOL, question_hash=question, seed=0, iteration=1, usage=usage, yields={})

    assert drawn("all", "q", {}) == POOL.keys
    assert drawn(["3-10-3", "1-1-1"], "q", {}) == ("3-10-3", "1-1-1")
    used: Counter[str] = Counter()
    for number in range(180):
        used.update(drawn("balanced:1", f"q{number}", dict(used)))
    assert set(used.values()) == {2} and len(used) == 90
    assert len(LOCATE) + 2 == len(POOL.locate)


@pytest.mark.parametrize("setting", ["sft-one-stage", "dpo-verdict"])
def test_a_run_uses_the_parts_and_proves_its_prompts_when_the_file_changes(
    tmp_path: Path, harness: Callable[[str], EngineHarness], setting: str
) -> None:
    """The sentences are stored when the run is prepared: editing the file later changes no prompt, and every prompt can
    still be shown.
    """
    path = parts_file(tmp_path, 'locate = ["Look for a group that you counted twice."]')
    reflection = f'parts = "{path}"\ninstructions = ["1-9-1", "2-9-2"]'
    settings = quiz_settings(tmp_path, train=16, test=2).replace('instructions = "random:2"', reflection)
    one = harness(settings.replace("[training]\n", f'[training]\nsetting = "{setting}"\n'))
    one.start()
    one.run()
    one.wait_state("done")
    found = one.rows("SELECT id, instruction FROM reflections WHERE protocol = '' ORDER BY id")
    assert {key for _, key in found} == {"1-9-1", "2-9-2"}
    for text in ('locate = ["Look elsewhere."]', None):
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
        shown = rerender(one.workspace, attempt_id=None, reflection_id=found[0][0])
        assert shown["matches"]
        assert "Look for a group that you counted twice." in str(shown["messages"])


def test_a_key_that_is_not_in_the_pool_stops_a_run_before_anything_is_generated(
    tmp_path: Path, harness: Callable[[str], EngineHarness]
) -> None:
    """The settings can't know the pool; the preparation checks the keys."""
    settings = quiz_settings(tmp_path, train=8, test=2).replace('"random:2"', '["1-1-1", "1-9-1"]')
    one = harness(settings)
    one.start()
    one.run()
    one.wait_state("failed")
    assert one.rows("SELECT count(*) FROM attempts") == [(0,)]
    ((reason,),) = one.rows("SELECT reason FROM iterations")
    assert "no reflection instruction '1-9-1'; the nearest is '1-8-1'" in reason
