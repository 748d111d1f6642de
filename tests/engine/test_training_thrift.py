"""Tests that the optimizations of training change no loss, gradient or step: shared prompts computed once, reference
log-probabilities cached, frozen layers in bfloat16. Compared with TRL's own computation on tiny real models.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

from engine.models.loading import load_tokenizer  # noqa: E402
from engine.models.precision import Precision  # noqa: E402
from engine.prompts.chat_format import ChatFormat  # noqa: E402
from engine.training.trl import (  # noqa: E402
    dpo,
    prefix_sharing,
    reference_logps,
    sft,
)
from engine.training.trl.arguments import Batch, shared_arguments  # noqa: E402
from engine.training.trl.loading import hold_frozen_layers_in_bfloat16, load_for_training  # noqa: E402
from engine.training.trl.prefix_sharing import linear_cost, pack, share_prompts  # noqa: E402
from store.settings import TrainingSection  # noqa: E402
from tests.engine.training_process import EXAMPLES, PAIRS, request_in, turn  # noqa: E402
from tests.engine.training_runs import Scripted, alike, run, weights_in  # noqa: E402

CPU = Precision("cpu", "float32", False)
SIDES = [
    ([5, 6, 7, 8, 9], [5, 6, 7, 11]),  # a common prefix
    ([5, 6], [5, 6, 12, 13, 14]),  # one is a prefix of the other
    ([9, 8, 7], [9, 8, 7]),  # the same twice
    ([5, 6, 7], [8, 6]),  # nothing in common
    ([4, 4, 4, 4, 4, 4], [4, 4, 4, 4, 4, 10]),
]


def _batch(sides: list[tuple[list[int], list[int]]]) -> tuple[Any, Any]:
    """Build a batch as TRL's collator does: chosen sides, then rejected ones, padded on the right."""
    return _rows([chosen for chosen, _ in sides] + [rejected for _, rejected in sides])


def _rows(rows: list[list[int]]) -> tuple[Any, Any]:
    """Rows padded on the right."""
    width = max(map(len, rows))
    ids = torch.tensor([row + [2] * (width - len(row)) for row in rows])
    return ids, torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])


def _llama(**changes: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    sizes = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, **changes))


LONG = list(range(3, 39)) * 2  # like worked examples at the start of every prompt
OTHER = [tokens + 1 for tokens in reversed(LONG)]
SFT = [
    [[*LONG, 5, 6, 7], [*LONG, 5, 6, 9, 9], [*LONG, 8], LONG],  # nested prefixes, a row within another
    [[*LONG, 5], [*OTHER, 6, 7], [*LONG, 7, 7, 7], [*OTHER, 8], [*OTHER, 6, 9]],  # two tasks in one batch
    [[*LONG, 5]] * 3,
    [[4, *LONG], [5, *LONG], LONG, LONG + OTHER, LONG + OTHER + [9]],  # some share, some nothing
]
PAIRED = [
    [chosen for chosen, _ in sides] + [rejected for _, rejected in sides]
    for sides in (
        [(LONG + chosen, LONG + rejected) for chosen, rejected in SIDES],
        [([*OTHER, number, *chosen], [*OTHER, number, *rejected]) for number, (chosen, rejected) in enumerate(SIDES)],
        [([*LONG, 1], [*LONG, 2])],
    )
]


def _plain_and_packed(ids: Any, mask: Any) -> list[tuple[Any, list[Any]]]:
    """Hidden states and gradients without and with packing, the latter on fewer positions."""
    model = _llama()
    computed: list[int] = []
    model.model.layers[0].register_forward_pre_hook(lambda _, args: computed.append(args[0].shape[:2].numel()))

    def states() -> tuple[Any, list[Any]]:
        model.zero_grad()
        found = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[mask.bool()]
        weight = torch.linspace(-1, 1, found.numel()).reshape(found.shape)
        (found * weight).sum().backward()
        return found.detach(), [part.grad.clone() for part in model.parameters() if part.grad is not None]

    plain = states()
    assert share_prompts(model)
    packed = states()
    assert computed[-1] < computed[0], "nothing was packed: nothing is compared"
    return [plain, packed]


@pytest.mark.parametrize("some", [SIDES, SIDES[:1], SIDES[:3], SIDES[1:2] + SIDES[4:]])
def test_packed_pairs_have_the_hidden_states_and_gradients_of_plain_ones(
    some: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix_sharing, "linear_cost", lambda _: 1e9)  # pairs this short are worth no mask otherwise
    (plain, gradients), (packed, packed_gradients) = _plain_and_packed(*_batch(some))
    assert torch.allclose(plain, packed, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(gradients, packed_gradients, strict=True))


@pytest.mark.parametrize("rows", SFT + PAIRED)
def test_packed_batches_have_the_hidden_states_and_gradients_of_plain_ones(rows: list[list[int]]) -> None:
    """The gradients of these longer rows are larger, so the comparison is relative to their norm."""
    (plain, gradients), (packed, packed_gradients) = _plain_and_packed(*_rows(rows))
    assert torch.allclose(plain, packed, atol=1e-5)
    assert all((a - b).norm() <= 1e-5 * a.norm() for a, b in zip(gradients, packed_gradients, strict=True))


@pytest.mark.parametrize("linear", [1.0, 100.0, 1e9])
@pytest.mark.parametrize("rows", [*SFT, *PAIRED, [side for pair in SIDES for side in pair]])
def test_packing_keeps_every_token_and_says_where_it_went(rows: list[list[int]], linear: float) -> None:
    ids, mask = _rows(rows)
    packed = pack(ids, mask, linear)
    assert packed is not None or linear < 1e9
    if packed is None:
        return
    real = mask.bool()
    back = packed.input_ids[packed.rows[:, None], packed.places]
    assert torch.equal(back[real], ids[real])
    positions = packed.position_ids[packed.rows[:, None], packed.places]
    assert torch.equal(positions[real], torch.arange(ids.shape[1]).expand_as(ids)[real])
    for number, row in enumerate(rows):  # each token attends to its own row up to itself, and to nothing else
        places = packed.places[number, : len(row)].tolist()
        for at, place in enumerate(places):
            assert packed.visible[packed.rows[number], 0, place].nonzero()[:, 0].tolist() == sorted(places[: at + 1])


def test_each_beginning_is_computed_once_and_masks_stay_small() -> None:
    """Where linear layers dominate, one row repeats nothing; where attention dominates, tasks are kept apart."""
    task, shorter = list(range(60)), list(range(60, 20, -1))
    rows = [[*begun, number, 7] for begun in (task, shorter) for number in range(4)]
    one, apart = pack(*_rows(rows), 1e9), pack(*_rows(rows), 1.0)
    assert one is not None and apart is not None
    assert one.input_ids.shape == (1, 60 + 4 * 2 + 40 + 4 * 2)
    assert apart.input_ids.shape == (2, 60 + 4 * 2)


def test_batches_that_would_gain_nothing_stay_as_they_are() -> None:
    assert pack(*_batch([([5, 6, 7], [8, 6, 7])]), 100.0) is None
    assert pack(*_rows([[5, *range(20, 39)], [5, *range(19, 38)]]), 100.0) is None, "a twentieth isn't worth a mask"


def test_padding_on_the_left_is_left_alone() -> None:
    ids, mask = _rows(SFT[0])
    assert pack(ids, mask, 1e9) is not None
    assert pack(ids.flip(1), mask.flip(1), 1e9) is None


def test_what_a_token_costs_is_counted_in_tokens_attended_to() -> None:
    """Two layers of q, o (32 × 32), k, v (32 × 16) and three of 32 × 48 weights; attention is 32 wide."""
    model = _llama()
    assert linear_cost(model.model) == (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48) / (2 * 32)


def test_a_model_that_cannot_share_is_left_alone() -> None:
    """A sliding window, another attention, positions that depend on the place in the row: each would give wrong
    results.
    """
    from transformers import MistralConfig, MistralForCausalLM

    sizes = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    sliding = MistralForCausalLM(MistralConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, sliding_window=8))
    by_place = _llama(initializer_range=0.5)
    rotary = by_place.model.rotary_emb.forward
    by_place.model.rotary_emb.forward = lambda x, position_ids: rotary(x, torch.arange(x.shape[1])[None])
    for model in (sliding, _llama(attn_implementation="eager"), by_place):
        before = model.model.forward
        assert not share_prompts(model)
        assert model.model.forward == before
    assert share_prompts(_llama(initializer_range=0.5))


def _dpo_step(trainer: Any) -> tuple[Any, dict[str, Any], dict[str, float]]:
    """Loss, gradients and metrics of the first batch, with an adapter that differs from its reference."""
    torch.manual_seed(1)
    for name, part in trainer.model.named_parameters():
        if ".default." in name:
            part.data.add_(torch.randn_like(part) * 0.05)
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    found = {name: part.grad for name, part in trainer.model.named_parameters() if part.grad is not None}
    return loss.detach(), found, {name: values[0] for name, values in trainer._metrics["train"].items()}


@pytest.mark.parametrize("reference_policy", ["base", "parent"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_our_dpo_has_the_loss_gradients_and_metrics_of_plain_trl(
    reference_policy: str, checkpointing: bool, tiny_model: Path, tmp_path: Path
) -> None:
    from trl import DPOTrainer

    settings = TrainingSection.model_validate(
        {"setting": "dpo-verdict", "reference": reference_policy, "gradient_checkpointing": checkpointing}
    )
    pairs = tuple(replace(pair, prompt=turn("user", "a long question " * (pair.id + 1))) for pair in PAIRS)
    form = ChatFormat(load_tokenizer(tiny_model))
    shared = shared_arguments(settings, Batch(4, 1), CPU, 0, tmp_path, examples=8)

    def trainer() -> Any:
        torch.manual_seed(0)
        model = load_for_training(tiny_model, None, settings, CPU)
        return dpo.dpo_trainer(model, form, pairs, settings, shared, [])

    ours = trainer()
    with pytest.MonkeyPatch.context() as plain:
        plain.setattr(dpo._ThriftyDPOTrainer, "__init__", DPOTrainer.__init__)
        plain.setattr(dpo._ThriftyDPOTrainer, "compute_loss", DPOTrainer.compute_loss)
        theirs = trainer()
        expected = _dpo_step(theirs)
    assert "forward" in vars(ours.model.get_base_model().model), "prompts aren't shared: nothing is compared"
    found = _dpo_step(ours)
    assert found[0].item() == pytest.approx(expected[0].item(), abs=1e-6)
    assert found[1].keys() == expected[1].keys()
    assert all(torch.allclose(found[1][name], expected[1][name], atol=1e-6) for name in expected[1])
    assert found[2] == pytest.approx(expected[2], abs=1e-4)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_our_sft_has_the_loss_gradients_and_metrics_of_plain_trl(
    checkpointing: bool, tiny_model: Path, tmp_path: Path
) -> None:
    from trl import SFTTrainer

    settings = TrainingSection.model_validate({"gradient_checkpointing": checkpointing, "lora_dropout": 0.0})
    worked = (*turn("user", "What is one and one? " * 20), *turn("assistant", "Answer: 2"))
    examples = tuple(
        replace(example, prompt=(*worked, *turn("user", f"What is {number} and {number}?")))
        for number, example in enumerate(EXAMPLES[:8])
    )
    form = ChatFormat(load_tokenizer(tiny_model))
    shared = shared_arguments(settings, Batch(4, 1), CPU, 0, tmp_path, examples=len(examples))

    def step(trainer: Any) -> tuple[float, dict[str, Any], dict[str, float], int]:
        computed: list[int] = []
        layer = trainer.model.get_base_model().model.layers[0]
        layer.register_forward_pre_hook(lambda _, args: computed.append(args[0].shape[:2].numel()))
        torch.manual_seed(1)
        for part in (part for part in trainer.model.parameters() if part.requires_grad):
            part.data.add_(torch.randn_like(part) * 0.05)
        loss = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
        loss.backward()
        gradients = {name: part.grad for name, part in trainer.model.named_parameters() if part.grad is not None}
        metrics = {name: values[0] for name, values in trainer._metrics["train"].items()}
        return loss.item(), gradients, metrics, computed[0]

    def trainer() -> Any:
        torch.manual_seed(0)
        model = load_for_training(tiny_model, None, settings, CPU)
        return sft.sft_trainer(model, form, examples, settings, shared, [])

    ours = step(trainer())
    with pytest.MonkeyPatch.context() as plain:
        plain.setattr(sft._ThriftySFTTrainer, "__init__", SFTTrainer.__init__)
        theirs = step(trainer())
    assert ours[3] < theirs[3], "prompts aren't shared: nothing is compared"
    assert ours[0] == pytest.approx(theirs[0], abs=1e-6)
    assert ours[1].keys() == theirs[1].keys()
    assert all(torch.allclose(ours[1][name], theirs[1][name], atol=1e-6) for name in theirs[1])
    assert ours[2] == pytest.approx(theirs[2], abs=1e-4)


def test_reference_log_probabilities_are_computed_once_and_survive_a_stop(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs of four batches run the reference four times, whether or not the training was stopped in between."""
    request = request_in(tmp_path, tiny_model, "dpo")
    asked: list[int] = []
    real = dpo._ThriftyDPOTrainer.compute_ref_log_probs

    def counted(self: Any, model: Any, inputs: Any) -> Any:
        asked.append(inputs["input_ids"].shape[0] // 2)
        return real(self, model, inputs)

    monkeypatch.setattr(dpo._ThriftyDPOTrainer, "compute_ref_log_probs", counted)
    run(request)
    assert asked == [2, 2, 2, 2]
    stopped = replace(request, work_dir=tmp_path / "w2", destination=tmp_path / "p2")
    run(stopped, Scripted(stop_at=5))
    assert asked == [2] * 8
    run(stopped)
    assert asked == [2] * 8
    assert alike(weights_in(request.destination), weights_in(stopped.destination), tolerance=0.0)


def test_a_kept_reference_is_never_replaced(tmp_path: Path) -> None:
    """In a batch with other pairs the value differs in its last digits; a resume must use the first one."""
    ids, mask = _batch(SIDES[:2])
    batch = {"input_ids": ids, "attention_mask": mask}
    memory = reference_logps.ReferenceMemory()
    first = torch.tensor([-1.1, -2.2]), torch.tensor([-3.3, -4.4])
    assert torch.equal(memory.completed(batch, lambda: first)["ref_chosen_logps"], first[0])
    memory.save(tmp_path)
    resumed = reference_logps.ReferenceMemory()
    resumed.load(tmp_path)
    wider, wider_mask = _batch([SIDES[1], SIDES[4]])
    other = torch.tensor([-9.0, -8.0]), torch.tensor([-7.0, -6.0])
    found = resumed.completed({"input_ids": wider, "attention_mask": wider_mask}, lambda: other)
    assert torch.equal(found["ref_chosen_logps"], torch.stack([first[0][1], other[0][1]]))
    assert torch.equal(found["ref_rejected_logps"], torch.stack([first[1][1], other[1][1]]))


def test_frozen_layers_in_bfloat16_change_nothing_under_autocast(tiny_model: Path) -> None:
    settings = TrainingSection(lora_dropout=0.0)

    def step(hold: bool) -> tuple[Any, list[Any]]:
        torch.manual_seed(0)
        model = load_for_training(tiny_model, None, settings, CPU)
        if hold:
            hold_frozen_layers_in_bfloat16(model)
        ids = torch.arange(3, 43).reshape(2, 20)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        held = {part.dtype for name, part in model.named_parameters() if "mlp" in name}
        assert held == {torch.bfloat16 if hold else torch.float32}
        assert model.get_input_embeddings().weight.dtype == torch.float32
        model.add_adapter("ref", model.peft_config["default"])  # as TRL keeps a parent as the reference
        assert {part.dtype for name, part in model.named_parameters() if "lora_" in name} == {torch.float32}
        return loss.detach(), [part.grad for part in model.parameters() if part.grad is not None]

    plain, held = step(False), step(True)
    assert torch.equal(plain[0], held[0])
    assert plain[1] and all(torch.equal(a, b) for a, b in zip(plain[1], held[1], strict=True))


def test_pairs_are_what_the_memory_tells_apart() -> None:
    """Equal prompts with swapped sides are another pair."""
    ids, mask = _batch([SIDES[0], (SIDES[0][1], SIDES[0][0])])
    assert len(set(reference_logps._digests(ids, mask))) == 2
