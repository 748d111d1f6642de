"""Tests over TRL's stock chat templates: a policy is trained on the prompt that it is asked with and on what it writes
after it, or the template is refused with a reason."""

from __future__ import annotations

import pytest

pytest.importorskip("trl")

from engine.prompts.chat_format import NO_THOUGHT, TemplateFailed, check_chat_format
from engine.training.examples import Example, token_view
from tests.docs.pages import DOCS
from tests.docs.templates import models_page
from tests.support.stock_templates import REPLY, TURNS, cases, rendered, stock_templates, with_template

CASES = list(cases())
IDS = [f"{name}-{keywords}" if keywords else name for name, keywords in CASES]


@pytest.mark.parametrize(("name", "keywords"), CASES, ids=IDS)
def test_training_asks_what_generation_asked_and_learns_what_is_written(name: str, keywords: dict[str, bool]) -> None:
    one = rendered(name, keywords)
    if one.refused:
        reasons = ("asks for a thought", "leaves out the text", "can't render a prompt")
        assert any(reason in one.refused for reason in reasons), one.refused
        return
    example = Example(1, TURNS, ({"role": "assistant", "content": REPLY},))  # type: ignore[arg-type]
    view = token_view(example, one.form)
    asked = one.form.prompt_tokens(TURNS)
    assert list(view.ids[: len(asked)]) == asked
    assert view.loss_mask == (0,) * len(asked) + (1,) * (len(view.ids) - len(asked))
    written = one.form.tokenizer.decode(view.ids[len(asked) :])
    end = one.form.tokenizer.eos_token
    assert REPLY in written and written.endswith(end) and written.count(end) == 1
    assert "think" not in written.replace(REPLY, ""), "no policy writes an empty thought that it isn't asked for"
    assert all(turn["content"] in one.form.prompt_text(TURNS) for turn in TURNS)


def test_most_stock_templates_can_be_trained_with() -> None:
    found = [rendered(*case) for case in CASES]
    trainable = {one.name for one in found if not one.refused}
    assert {"llama3", "gemma", "phi3", "qwen2_5", "qwen3", "glm4moe", "nemotron_3_nano", "qwen3_6"} <= trainable
    assert {"deepseek_r1_distill", "gptoss"} <= {one.name for one in found} - trainable
    assert len(trainable) >= 0.75 * len({one.name for one in found})


@pytest.mark.parametrize(
    ("source", "keywords", "system", "words"),
    [
        ("{{ raise_exception('only images') }}", {}, "", "only images"),
        ("{% for m in messages %}{{ m['content'][:3] }}{% endfor %}", {}, "", "leaves out the text"),
        ("{% for m in messages if m['role'] != 'assistant' %}{{ m['content'] }}{% endfor %}", {}, "", "'ATTEMPT-2'"),
        ("{% for m in messages %}{{ m['content'] }}{% endfor %}", {"enable_thinkin": False}, "", "enable_thinkin"),
        ("{% for m in messages[1:] %}{{ m['content'] }}{% endfor %}{{ messages[0]['content'] }}", {}, "", ""),
        ("{{ messages[0]['content'].text.nothing }}", {}, "", "can't render a prompt"),
        (
            "{% for m in messages if m['role'] != 'system' %}{{ m['content'] }}{% endfor %}",
            {},
            "Be brief.",
            "Be brief.",
        ),
    ],
)
def test_a_template_that_can_not_be_used_is_refused(
    source: str, keywords: dict[str, bool], system: str, words: str
) -> None:
    form = with_template(source, keywords, system)
    if not words:
        check_chat_format(form)
        return
    with pytest.raises(TemplateFailed) as raised:
        check_chat_format(form)
    assert words in str(raised.value)


@pytest.mark.parametrize("name", list(stock_templates()))
def test_a_system_message_reaches_every_prompt(name: str) -> None:
    """A template without a system role has it at the beginning of the first message."""
    if rendered(name, {}).refused not in ("", NO_THOUGHT):
        return
    form = with_template(stock_templates()[name], system="You are terse.")
    try:
        check_chat_format(form)
    except TemplateFailed as error:
        assert "You are terse." in str(error)
        return
    assert form.prompt_text(TURNS).count("You are terse.") == 1


def test_the_table_of_templates_is_up_to_date() -> None:
    page = DOCS / "models.md"
    text = page.read_text(encoding="utf-8")
    assert text == models_page(text), "run python -m tests.docs"
