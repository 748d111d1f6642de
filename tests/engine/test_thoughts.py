"""Tests of the thoughts of models that think: apart from replies, out of later prompts, in training where asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.commands.render_prompt import rerender
from engine.generation.base import Generated, apart_from_thought
from engine.prompts.chat_format import NO_THOUGHT
from engine.tasks.answers.thoughts import split_thought, without_thoughts
from engine.training.examples import Example, examine, token_view
from store.rollouts.thoughts import get_thought, thoughts_of
from tests.engine.training_process import turn
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings
from tests.support.stock_templates import stock_templates, with_template

Make = Callable[[str], EngineHarness]
SECRET = "SECRET THOUGHT"


@pytest.mark.parametrize(
    ("reply", "opened", "thought", "rest"),
    [
        ("<think>a</think>\n\nAnswer: 3", False, "<think>a</think>\n\n", "Answer: 3"),
        ("a</think>Answer: 3", True, "a</think>", "Answer: 3"),
        # The template opened the thought, and the generator doesn't know.
        ("a</think>\nAnswer: 3", False, "a</think>\n", "Answer: 3"),
        ("[THINK]a[/THINK]Answer: 3", False, "[THINK]a[/THINK]", "Answer: 3"),
        ("<think>\n\n</think>\n\nAnswer: 3", False, "<think>\n\n</think>\n\n", "Answer: 3"),
        ("<think>never ends", False, "<think>never ends", ""),
        ("never ends", True, "never ends", ""),
        ("Answer: 3", False, "", "Answer: 3"),
        ("Use the tag <think>a</think> here.", False, "", "Use the tag <think>a</think> here."),
        ("", False, "", ""),
    ],
)
def test_a_reply_is_divided_after_its_first_thought(reply: str, opened: bool, thought: str, rest: str) -> None:
    assert split_thought(reply, opened=opened) == (thought, rest)
    generated = Generated(reply, 1, 0, 10, "stop", 0.0, None)
    apart = apart_from_thought(generated, opened=opened)
    assert (apart.thought, apart.text) == (thought, rest)
    assert 0 <= apart.thought_tokens <= 10 and bool(apart.thought_tokens) == bool(thought)


@given(st.text("<think>/[THINK] ab\n", max_size=60), st.booleans())
def test_nothing_of_a_reply_is_lost(reply: str, opened: bool) -> None:
    thought, rest = split_thought(reply, opened=opened)
    assert thought + rest == reply
    if rest and not opened:
        assert without_thoughts(rest).strip() in without_thoughts(reply)


def test_an_iteration_of_a_model_that_thinks_keeps_its_thoughts_apart(
    harness: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thought reaches a prompt, an answer, a set, the search or an export; each is stored with its row."""
    monkeypatch.setenv("REFLECTEVO_SCRIPTED_THINKS", "yes")
    one = harness(quiz_settings(tmp_path, sections='[evaluation]\npromote = "always"', train=12, test=8))
    one.start()
    one.run()
    one.wait(lambda: (one.status()["iteration"] or {}).get("state") == "done")
    for table, column in (("attempts", "reasoning"), ("reflections", "text")):
        (count,), (with_secret,) = (
            one.rows(f"SELECT count(*) FROM {table}")[0],
            one.rows(f"SELECT count(*) FROM {table} WHERE {column} LIKE '%{SECRET}%' OR {column} LIKE '%think>%'")[0],
        )
        assert count > 0 and with_secret == 0
    # A policy that reflects and corrects in one reply thinks once for both.
    texts = one.rows(
        "SELECT (SELECT count(*) FROM attempts) + (SELECT count(*) FROM reflections) -"
        " (SELECT count(*) FROM attempts a JOIN reflections r"
        " ON r.id = a.reflection_id AND r.prompt_hash = a.prompt_hash)"
    )[0][0]
    assert one.rows("SELECT count(*) FROM thoughts")[0][0] == texts
    assert one.rows("SELECT count(*) FROM attempts WHERE answer = '77'") == [(0,)]
    assert one.rows("SELECT count(*) FROM trajectory_search WHERE trajectory_search MATCH 'SECRET'") == [(0,)]
    for (attempt,) in one.rows("SELECT id FROM attempts LIMIT 20"):
        rendered = rerender(one.workspace, attempt_id=attempt, reflection_id=None)
        assert rendered["matches"] and SECRET not in json.dumps(rendered["messages"])
    (iteration,) = one.rows("SELECT id FROM iterations WHERE kind = 'training'")[0]
    from store.database.connection import reading

    with reading(one.workspace.database) as connection:
        stored = thoughts_of(connection, "reflection", iteration)
        assert stored and all(
            text.startswith("<think>\n") and text.endswith("</think>\n\n") for text in stored.values()
        )
        thought = get_thought(connection, "reflection", next(iter(stored)))
        assert thought is not None and thought.tokens > 0
        assert get_thought(connection, "attempt", 0) is None


def test_a_thought_that_does_not_end_is_no_wrong_answer(
    harness: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt is unverified, and a reflection fails with the reason; neither is reflected on or trained on."""
    monkeypatch.setenv("REFLECTEVO_SCRIPTED_THINKS", "endlessly")
    one = harness(quiz_settings(tmp_path, sections='[evaluation]\npromote = "always"', train=24, test=8))
    one.start()
    one.run()
    one.wait(lambda: (one.status()["iteration"] or {}).get("state") in ("done", "failed"))
    cut = one.rows(
        "SELECT verdict, detail, count(*) FROM attempts WHERE reasoning = '' AND reflection_id IS NULL GROUP BY 1, 2"
    )
    assert [row[:2] for row in cut] == [("unverified", "truncated: the thought did not end within max_tokens")]
    failed = one.rows("SELECT error, count(*) FROM reflections WHERE text = '' GROUP BY 1")
    assert [row[0] for row in failed] == ["the thought did not end within max_tokens"]
    wrong = "SELECT count(*) FROM {} WHERE attempt_id IN (SELECT id FROM attempts WHERE reasoning = '')"
    assert one.rows(wrong.format("reflections")) == [(0,)]


@pytest.mark.parametrize(
    ("template", "thought", "asked"),
    [
        ("deepseek_r1_distill", "I count.\n</think>\n\n", True),
        ("qwen3", "<think>\nI count.\n</think>\n\n", True),
        ("nemotron_3_nano", "I count.\n</think>\n", True),
        ("qwen2_5", "<think>\nI count.\n</think>\n\n", False),
    ],
)
def test_training_writes_the_thought_that_the_template_asks_for(template: str, thought: str, asked: bool) -> None:
    pytest.importorskip("transformers")
    form = with_template(stock_templates()[template])
    assert form.asks_for_thought is asked
    row = Example(1, turn("user", "How many?"), turn("assistant", f"{thought}Answer: 3"))
    views, reason = examine(row, form, 500)
    assert reason is None
    prompt = form.prompt_tokens(row.prompt)
    written = form.tokenizer.decode(views[0].ids[len(prompt) :])
    assert written == f"{thought if asked else ''}Answer: 3{form.tokenizer.eos_token}"
    assert list(token_view(row, form).ids[: len(prompt)]) == prompt
    bare = Example(2, row.prompt, turn("assistant", "Answer: 3"))
    assert examine(bare, form, 500)[1] == (NO_THOUGHT if asked else None)


def test_a_thought_that_states_the_target_is_no_reason_to_drop_it() -> None:
    """Thoughts usually arrive at their answer; only what is shown in prompts can give it away."""
    pytest.importorskip("transformers")
    form = with_template(stock_templates()["qwen3"])
    row = Example(1, turn("user", "How many?"), turn("assistant", "<think>\nAnswer: 3\n</think>\n\nAnswer: 3"))
    assert examine(row, form, 500)[1] is None
