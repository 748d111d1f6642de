"""Tests of the training examples: complete completions only, the loss exactly on them, and TRL receives the same
tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from engine.errors import TrainingRefused
from engine.models.loading import load_tokenizer
from engine.prompts.chat_format import ChatFormat
from engine.prompts.rollout import Message
from engine.training.examples import BEGINS_TWICE, NOT_A_PREFIX, Example, Fitted, Pair, fit, token_view
from engine.training.trl.arguments import Batch
from tests.support.pair_views import pair_views


@pytest.fixture(scope="module")
def form(tiny_model: Path) -> ChatFormat:
    return ChatFormat(load_tokenizer(tiny_model))


def turn(role: str, content: str) -> tuple[Message, ...]:
    return ({"role": role, "content": content},)  # type: ignore[typeddict-item]


def example(number: int, answer: str = "four") -> Example:
    return Example(number, turn("user", "two and two"), turn("assistant", answer))


def test_loss_is_on_the_completion_and_its_end_of_turn(form: ChatFormat) -> None:
    view = token_view(example(1), form)
    learnt = [token for token, mask in zip(view.ids, view.loss_mask, strict=True) if mask]
    given = [token for token, mask in zip(view.ids, view.loss_mask, strict=True) if not mask]
    assert form.tokenizer.decode(learnt) == "four<|im_end|>", "a policy writes nothing after the end of its turn"
    assert form.tokenizer.decode(given) == "<|im_start|>user\ntwo and two<|im_end|>\n<|im_start|>assistant\n"
    assert learnt[-1] == form.tokenizer.eos_token_id


def test_both_sides_of_a_pair_share_the_prompt(form: ChatFormat) -> None:
    pair = Pair(1, turn("user", "two and two"), turn("assistant", "four"), turn("assistant", "five or so"))
    chosen, rejected = pair_views(pair, form)
    prompt = chosen.loss_mask.count(0)
    assert rejected.loss_mask.count(0) == prompt
    assert chosen.ids[:prompt] == rejected.ids[:prompt]


def test_over_long_examples_are_dropped_whole_and_counted(form: ChatFormat) -> None:
    short, long = example(1), example(2, "x" * 200)
    length = len(token_view(short, form).ids)
    fitted = fit([short, long], form, length)
    assert fitted.kept == (short,)
    assert fitted.tokens == length
    assert [number for number, _ in fitted.dropped] == [2]
    assert f"longer than {length}" in fitted.dropped[0][1]


def test_a_pair_is_as_long_as_its_longer_side(form: ChatFormat) -> None:
    pair = Pair(7, turn("user", "q"), turn("assistant", "a"), turn("assistant", "a" * 90))
    fits = fit([pair, Pair(8, pair.prompt, pair.chosen, pair.chosen)], form, 60)
    assert [kept.id for kept in fits.kept] == [8]


def test_nothing_left_is_refused_with_the_reason(form: ChatFormat) -> None:
    with pytest.raises(TrainingRefused, match=r"max_length = 16"):
        fit([example(1, "x" * 50)], form, 16)
    assert fit([], form, 16) == Fitted((), ())


def test_a_template_that_rewrites_the_prompt_trains_on_that_of_generation(tiny_model: Path) -> None:
    """Rendered with the answer, the prompt differs; a policy is never asked so."""
    shifting = load_tokenizer(tiny_model)
    shifting.chat_template = "{{ messages | length }}" + shifting.chat_template
    form = ChatFormat(shifting)
    view = token_view(example(1), form)
    assert list(view.ids[: view.loss_mask.index(1)]) == form.prompt_tokens(example(1).prompt)


def test_a_token_across_the_end_of_the_prompt_is_found(tiny_model: Path) -> None:
    """Its loss would be on part of the prompt; TRL only warns, once."""
    joining = load_tokenizer(tiny_model)
    joining.add_tokens([":Yes"])
    joining.chat_template = "{% for message in messages %}{{ message['content'] }}:{% endfor %}"
    with pytest.raises(TrainingRefused, match=NOT_A_PREFIX):
        fit([example(1, "Yes"), example(2, "Yes")], ChatFormat(joining), 500)


@pytest.fixture
def beginning(tiny_model: Path) -> Any:
    """A tokenizer that inserts a begin token before every text, with a template that also starts with it (like
    Llama's).
    """
    from tokenizers.processors import TemplateProcessing

    made = load_tokenizer(tiny_model)
    made.bos_token = "<|endoftext|>"
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", made.bos_token_id)]
    )
    made.chat_template = "{{ bos_token }}" + made.chat_template
    assert made("a")["input_ids"][0] == made.bos_token_id
    return made


def test_the_begin_token_stands_once(beginning: Any, tiny_model: Path, tmp_path: Path) -> None:
    """In the tokens shown, and in those that TRL trains on; rendering to text and tokenizing that would insert it
    twice.
    """
    pytest.importorskip("trl")
    from engine.models.precision import Precision
    from engine.training.trl.arguments import shared_arguments
    from engine.training.trl.dpo import dpo_trainer
    from engine.training.trl.loading import load_for_training
    from engine.training.trl.sft import sft_trainer
    from store.settings import TrainingSection

    begin = beginning.bos_token_id
    pair = Pair(2, turn("user", "two and two"), turn("assistant", "four"), turn("assistant", "five or so"))
    rendered = beginning.apply_chat_template([*pair.prompt, *pair.chosen], tokenize=False)
    assert beginning(rendered)["input_ids"][:2] == [begin, begin]
    form = ChatFormat(beginning)
    view = token_view(example(1), form)
    assert (view.ids[0], view.ids.count(begin)) == (begin, 1)
    cpu, settings = Precision("cpu", "float32", False), TrainingSection()
    shared = shared_arguments(settings, Batch(1, 1), cpu, 0, tmp_path, examples=1)
    model = load_for_training(tiny_model, None, settings, cpu)
    row = sft_trainer(model, form, [example(1)], settings, shared, []).train_dataset[0]
    assert tuple(row["input_ids"]) == view.ids
    model = load_for_training(tiny_model, None, settings, cpu)
    row = dpo_trainer(model, form, [pair], settings, shared, []).train_dataset[0]
    assert [(row["prompt_ids"] + row[side]).count(begin) for side in ("chosen_ids", "rejected_ids")] == [1, 1]


def test_a_template_that_doubles_the_begin_token_is_found(beginning: Any) -> None:
    beginning.chat_template = "{{ bos_token }}" + beginning.chat_template
    with pytest.raises(TrainingRefused, match=BEGINS_TWICE):
        fit([example(1)], ChatFormat(beginning), 500)


def test_smaller_batches_keep_the_examples_of_a_step() -> None:
    batch: Batch | None = Batch(12, 1)
    seen = []
    while batch is not None:
        seen.append(batch.size)
        assert batch.size * batch.accumulation == 12
        batch = batch.smaller()
    assert seen == [12, 6, 3, 1]
    assert Batch(5, 1).smaller() == Batch(1, 5)


def test_order_is_a_permutation_that_depends_on_seed_and_epoch_only() -> None:
    pytest.importorskip("torch")
    from engine.training.trl.sampler import grouped_order

    lengths = [(17 * i) % 101 for i in range(203)]
    first = grouped_order(lengths, 8, seed=3, epoch=0)
    assert sorted(first) == list(range(203))
    assert first == grouped_order(lengths, 8, seed=3, epoch=0)
    assert first != grouped_order(lengths, 8, seed=3, epoch=1)
    assert max(lengths) in [lengths[i] for i in first[:8]]
    spread = [max(part) - min(part) for part in ([lengths[i] for i in first[k : k + 8]] for k in range(0, 200, 8))]
    assert sum(spread) / len(spread) < 20  # random steps of 8 would spread over about 80
