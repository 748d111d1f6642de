"""Tests of real KTO on a tiny model: the loss is TRL's on the same rows, the mismatched completions are of other
questions, and the policy learns to prefer what is desirable, with adapters, fully fine-tuned, and after a stop.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

from engine.errors import EngineError, TrainingRefused  # noqa: E402
from engine.models.loading import load_tokenizer  # noqa: E402
from engine.models.policy_directory import is_stable  # noqa: E402
from engine.models.precision import Precision  # noqa: E402
from engine.prompts.chat_format import ChatFormat  # noqa: E402
from engine.training.examples import LabelledExample, token_view  # noqa: E402
from engine.training.request import TrainingRequest  # noqa: E402
from engine.training.train_stage import StageRun  # noqa: E402
from engine.training.trl.arguments import Batch, shared_arguments  # noqa: E402
from engine.training.trl.kto import kto_trainer, label_weights, mixed_order  # noqa: E402
from engine.training.trl.loading import load_for_training  # noqa: E402
from engine.training.trl.verbatim import verbatim_tokenizer  # noqa: E402
from store.settings import TrainingSection  # noqa: E402
from tests.engine.training_process import turn  # noqa: E402
from tests.engine.training_runs import Scripted, alike, raising, run, weights_in  # noqa: E402

CPU = Precision("cpu", "float32", False)
SETTINGS = TrainingSection(
    setting="kto-verdict", batch_size=4, epochs=3, learning_rate=1e-2, warmup=0.0, lora_dropout=0.0, checkpoint_steps=2,
    min_examples=1,
)  # fmt: skip
LABELLED = tuple(
    LabelledExample(
        2 * i + good, turn("user", f"question {i}"), turn("assistant", f"{'good' if good else 'bad'} {i}"), i,
        desirable=bool(good),
    )
    for i in range(6)
    for good in (1, 0)
)  # fmt: skip


def request_in(root: Path, base: Path, **changes: Any) -> TrainingRequest:
    settings = SETTINGS.model_copy(update=changes)
    return TrainingRequest("kto-verdict", base, None, LABELLED, settings, 7, root / "work", root / "policies" / "2")


def trainer_of(base: Path, root: Path, examples: tuple[LabelledExample, ...] = LABELLED, batch: int = 4) -> Any:
    torch.manual_seed(0)
    settings = SETTINGS.model_copy(update={"batch_size": batch})
    shared = shared_arguments(settings, Batch(batch, 1), CPU, 3, root, examples=len(examples), measured=True)
    model = load_for_training(base, None, settings, CPU)
    return kto_trainer(model, ChatFormat(load_tokenizer(base)), examples, settings, shared, [], held_out=examples[:5])


def test_the_policy_comes_to_prefer_what_is_desirable(tiny_model: Path, tmp_path: Path) -> None:
    request = request_in(tmp_path, tiny_model, epochs=8)
    result, metrics = run(request)
    assert (result.completed, result.steps, result.kept) == (True, 24, 12) and is_stable(request.destination)
    assert {"loss", "kl", "rewards/chosen", "rewards/rejected", "rewards/margins"} <= set(metrics[24])
    assert metrics[1]["rewards/margins"] == pytest.approx(0.0, abs=1e-5)  # the reference is the policy itself at first
    assert metrics[24]["rewards/margins"] > 0.1 and metrics[24]["loss"] < metrics[1]["loss"]
    form = ChatFormat(load_tokenizer(tiny_model))

    def preference(adapter: Path | None) -> float:
        model = load_for_training(tiny_model, adapter, SETTINGS, CPU).eval()
        return sum((1 if one.desirable else -1) * _log_probability(model, one, form) for one in LABELLED)

    assert preference(request.destination / "adapter") > preference(None) + 1


def _log_probability(model: Any, example: LabelledExample, form: ChatFormat) -> float:
    view = token_view(example, form)
    ids = torch.tensor([view.ids])
    with torch.no_grad():
        scores = model(input_ids=ids).logits.log_softmax(-1)[0, :-1]
    chosen = scores.gather(1, ids[0, 1:, None])[:, 0]
    return float((chosen * torch.tensor(view.loss_mask[1:])).sum())


def test_a_stop_and_a_resume_give_the_uninterrupted_policy(tiny_model: Path, tmp_path: Path) -> None:
    whole, halved = request_in(tmp_path / "a", tiny_model), request_in(tmp_path / "b", tiny_model)
    run(whole)
    stopped, _ = run(halved, Scripted(stop_at=4))
    assert not stopped.completed and stopped.steps == 4
    resumed, _ = run(halved)
    assert (resumed.completed, resumed.steps) == (True, 9)
    assert alike(weights_in(whole.destination), weights_in(halved.destination))


@pytest.mark.parametrize("reference", ["base", "parent"])
def test_the_reference_is_the_chosen_one(reference: str, tiny_model: Path, tmp_path: Path) -> None:
    """Continuing an adapter: against the parent the first rewards are 0, against the base they are not."""
    first = request_in(tmp_path / "a", tiny_model)
    run(first)
    second = replace(
        request_in(tmp_path / "b", tiny_model, reference=reference), parent_adapter=first.destination / "adapter"
    )
    _, metrics = run(second)
    zero = abs(metrics[1]["rewards/chosen"]) < 1e-5 and abs(metrics[1]["rewards/rejected"]) < 1e-5
    assert zero == (reference == "parent")


def test_full_fine_tuning_has_a_reference_of_its_own(tiny_model: Path, tmp_path: Path) -> None:
    request = request_in(tmp_path, tiny_model, method="full", learning_rate=1e-3)
    _, metrics = run(request)
    assert metrics[1]["rewards/margins"] == pytest.approx(0.0, abs=1e-5) and metrics[9]["rewards/margins"] > 0.0
    assert is_stable(request.destination)


def test_masks_and_tokens_are_those_that_are_shown(tiny_model: Path, tmp_path: Path) -> None:
    form = ChatFormat(load_tokenizer(tiny_model))
    shown = {(view.ids, view.loss_mask) for view in (token_view(one, form) for one in LABELLED)}
    found = set()
    for batch in trainer_of(tiny_model, tmp_path).get_train_dataloader():
        for ids, attention, mask in zip(
            batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True
        ):
            found.add((tuple(ids[attention.bool()].tolist()), tuple(mask[attention.bool()].tolist())))
    assert found == shown


@pytest.mark.parametrize("count", [8, 9])
def test_the_mismatched_completion_is_of_another_example(count: int, tiny_model: Path, tmp_path: Path) -> None:
    """With 9 examples in batches of 4 or 2, TRL would give the last one its own completion."""
    for batch in (2, 4):
        trainer = trainer_of(tiny_model, tmp_path / str(batch), LABELLED[:count], batch)
        for dataset in (trainer.train_dataset, trainer.eval_dataset):
            assert all(row["KL_completion_ids"] != row["completion_ids"] for row in dataset)


def test_the_loss_is_that_of_plain_trl(tiny_model: Path, tmp_path: Path) -> None:
    from trl import KTOConfig, KTOTrainer

    ours = trainer_of(tiny_model, tmp_path / "ours")
    torch.manual_seed(0)
    shared = shared_arguments(SETTINGS, Batch(4, 1), CPU, 3, tmp_path / "plain", examples=len(LABELLED))
    plain = KTOTrainer(
        model=load_for_training(tiny_model, None, SETTINGS, CPU),
        args=KTOConfig(beta=SETTINGS.beta, **shared),
        train_dataset=ours.train_dataset.select_columns(["prompt", "completion", "label"]),
        processing_class=verbatim_tokenizer(ChatFormat(load_tokenizer(tiny_model))),
    )
    with torch.no_grad():
        for part in (*ours.model.parameters(), *plain.model.parameters()):
            if part.requires_grad:
                part.fill_(0.02)  # an adapter that differs from its reference
        for mine, other in zip(ours.get_train_dataloader(), plain.get_train_dataloader(), strict=True):
            assert mine["KL_input_ids"].equal(other["KL_input_ids"])
            assert ours.compute_loss(ours.model, mine).item() == pytest.approx(
                plain.compute_loss(plain.model, other).item(), abs=1e-5
            )


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=30), st.integers(0, 9))
def test_neighbours_are_of_different_questions_where_possible(drawn: list[tuple[int, bool]], seed: int) -> None:
    examples = [LabelledExample(n, (), (), question, desirable=label) for n, (question, label) in enumerate(drawn)]
    ordered = mixed_order(examples, seed)
    assert Counter(ordered) == Counter(examples) and ordered == mixed_order(examples, seed)
    most = max(Counter(question for question, _ in drawn).values(), default=0)
    if most <= (len(drawn) + 1) // 2:
        assert all(one.question_id != two.question_id for one, two in pairwise(ordered))


@given(st.integers(1, 400), st.integers(1, 400))
def test_both_labels_weigh_the_same(desirable: int, undesirable: int) -> None:
    """Within the range of equation 8 of the paper, 1 to 4/3, in which TRL does not warn."""
    labels = [True] * desirable + [False] * undesirable
    weights = label_weights([LabelledExample(0, (), (), desirable=label) for label in labels])
    assert min(weights) == 1.0
    assert 0.999 <= weights[0] * desirable / (weights[1] * undesirable) <= 4 / 3


def test_one_label_alone_is_refused_before_a_model_is_loaded(tiny_model: Path, tmp_path: Path) -> None:
    for label, words in ((True, "all of them desirable"), (False, "all of them undesirable")):
        request = request_in(tmp_path, tiny_model)
        alone = tuple(one for one in LABELLED if one.desirable is label)
        with pytest.raises(TrainingRefused, match=words):
            run(replace(request, examples=alone))
    with pytest.raises(ValueError, match="one label"):
        label_weights([])


def test_memory_that_suffices_for_no_two_examples_ends_with_a_message(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StageRun, "_once", raising(torch.OutOfMemoryError("full")))
    with pytest.raises(EngineError, match="out of memory with 2 examples per forward pass"):
        run(request_in(tmp_path, tiny_model))
