"""Tests of real two-stage training: what each stage learns, whose weights it changes, and the state after a stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

from engine.errors import TrainingRefused  # noqa: E402
from engine.models.loading import load_model, load_tokenizer  # noqa: E402
from engine.models.policy_directory import is_stable, read_details  # noqa: E402
from engine.training import checkpoints  # noqa: E402
from engine.training.request import TrainingRequest, TrainingResult  # noqa: E402
from engine.training.train import STAGE_METRIC  # noqa: E402
from tests.engine.training_process import PAIRS, request_in  # noqa: E402
from tests.engine.training_runs import Scripted, alike, logits, run, weights_in  # noqa: E402


def separate(request: TrainingRequest) -> TrainingRequest:
    return replace(request, settings=request.settings.model_copy(update={"adapters": "separate"}))


def one_stage(request: TrainingRequest, root: Path, **changes: Any) -> TrainingRequest:
    """A plain SFT with some settings changed, in separate directories."""
    settings = request.settings.model_copy(update={"setting": "sft-one-stage", **changes.pop("settings", {})})
    return replace(
        request,
        setting="sft-one-stage",
        second_examples=(),
        settings=settings,
        work_dir=root / "work",
        destination=root / "policy",
        **changes,
    )


@pytest.fixture(scope="module")
def chained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingRequest, TrainingResult]:
    request = request_in(tmp_path_factory.mktemp("chained"), tiny_model, "two-stage")
    control = Scripted()
    result, metrics = run(request, control)
    assert sorted(metrics) == list(range(1, 13))
    assert [metrics[step][STAGE_METRIC] for step in range(1, 13)] == [1.0] * 4 + [2.0] * 8
    assert all("loss" in values for values in metrics.values())
    assert control.steps[-1] == (12, 12)
    assert {total for _, total in control.steps} == {12}
    return request, result


@pytest.fixture(scope="module")
def apart(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRequest:
    request = separate(request_in(tmp_path_factory.mktemp("separate"), tiny_model, "two-stage"))
    assert run(request)[0].separate
    return request


def test_chained_stages_give_one_policy_with_the_settings_of_each(
    chained: tuple[TrainingRequest, TrainingResult],
) -> None:
    request, result = chained
    assert [(stage.number, stage.trained, stage.steps) for stage in result.stages] == [(1, "both", 4), (2, "both", 8)]
    assert sorted(path.name for path in request.destination.iterdir()) == ["STABLE", "adapter", "merged", "policy.json"]
    details = read_details(request.destination)
    assert (details["separate"], details["method"], details["training"]["total_steps"]) == (False, "lora", 12)
    assert run(request)[0] == result


def test_the_second_stage_continues_the_first(
    chained: tuple[TrainingRequest, TrainingResult], apart: TrainingRequest, tmp_path: Path
) -> None:
    """Run as two separate trainings: the same weights. Stage 1 alone gives the weights of the separate reflector."""
    request, _ = chained
    first = one_stage(request, tmp_path / "1")
    run(first)
    assert alike(weights_in(first.destination), weights_in(apart.destination, "reflector"))
    own = request.settings.second_stage.model_dump(exclude_none=True)
    second = one_stage(
        request,
        tmp_path / "2",
        settings=own,
        examples=request.second_examples,
        parent_adapter=first.destination / "adapter",
    )
    run(second)
    assert alike(weights_in(second.destination), weights_in(request.destination))


def test_separate_adapters_differ_and_each_is_merged_into_its_own_model(
    apart: TrainingRequest, tiny_model: Path
) -> None:
    from peft import PeftModel

    policy = apart.destination
    assert sorted(path.name for path in (policy / "reflector").iterdir()) == ["adapter", "merged"]
    assert read_details(policy)["separate"] is True
    assert not alike(weights_in(policy), weights_in(policy, "reflector"), tolerance=1e-4)
    tokenizer = load_tokenizer(policy / "reflector" / "merged")
    outputs = []
    for place in (policy, policy / "reflector"):
        merged = logits(load_model(place / "merged", "float32"), tokenizer)
        adapted = PeftModel.from_pretrained(load_model(tiny_model, "float32"), place / "adapter")
        assert torch.allclose(merged, logits(adapted, tokenizer), atol=1e-5)
        outputs.append(merged)
    assert not torch.allclose(*outputs, atol=1e-3)


def test_each_adapter_is_continued_from_its_own(apart: TrainingRequest, tmp_path: Path) -> None:
    """The next iteration: separate again, then preferences on the reflector alone, then the baseline's reasoner."""
    policy = apart.destination
    still = apart.settings.model_copy(update={"learning_rate": 1e-12, "second_stage": apart.settings.second_stage})
    second = still.second_stage.model_copy(update={"learning_rate": 1e-12})
    parents = {"parent_adapter": policy / "adapter", "parent_reflector": policy / "reflector" / "adapter"}
    again = replace(
        apart,
        settings=still.model_copy(update={"second_stage": second}),
        work_dir=tmp_path / "w1",
        destination=tmp_path / "p1",
        merge=False,
        **parents,
    )
    run(again)
    for role in ("", "reflector"):
        assert alike(weights_in(policy, role), weights_in(again.destination, role), tolerance=1e-6)
    lone = {"adapters": "chained", "learning_rate": 1e-2, "epochs": 0.5}
    preferring = replace(
        again,
        setting="dpo-judge",
        examples=PAIRS,
        second_examples=(),
        settings=apart.settings.model_copy(update={"setting": "dpo-judge", **lone}),
        work_dir=tmp_path / "w2",
        destination=tmp_path / "p2",
    )
    result, _ = run(preferring)
    assert (result.separate, result.stages[0].trained) == (True, "reflector")
    assert alike(weights_in(policy), weights_in(preferring.destination), tolerance=0.0)
    assert not alike(weights_in(policy, "reflector"), weights_in(preferring.destination, "reflector"))
    answering = replace(
        again,
        setting="sft-qa",
        second_examples=(),
        settings=apart.settings.model_copy(update={"setting": "sft-qa", **lone}),
        work_dir=tmp_path / "w3",
        destination=tmp_path / "p3",
    )
    result, _ = run(answering)
    assert (result.separate, result.stages[0].trained) == (True, "reasoner")
    assert alike(weights_in(policy, "reflector"), weights_in(answering.destination, "reflector"), tolerance=0.0)
    assert not alike(weights_in(policy), weights_in(answering.destination))
    with pytest.raises(TrainingRefused, match="two adapters"):
        run(one_stage(again, tmp_path / "4", settings={"adapters": "chained"}))


def test_stopped_in_either_stage_it_goes_on_there(
    chained: tuple[TrainingRequest, TrainingResult], tiny_model: Path, tmp_path: Path
) -> None:
    request = request_in(tmp_path, tiny_model, "two-stage")
    result, metrics = run(request, Scripted(stop_at=2))
    assert (result.completed, result.steps, result.total_steps, len(result.stages)) == (False, 2, 12, 1)
    result, metrics = run(request, Scripted(stop_at=6))
    assert (result.completed, result.steps, min(metrics)) == (False, 6, 3)
    first = checkpoints.newest(request.work_dir / "stage1")
    assert first is not None
    written = first.path.stat().st_mtime_ns
    # Other settings of stage 2 don't invalidate stage 1, and stage 2 then restarts.
    second = request.settings.second_stage.model_copy(update={"learning_rate": 1e-3})
    changed = replace(request, settings=request.settings.model_copy(update={"second_stage": second}))
    result, metrics = run(changed, Scripted(stop_at=5))
    assert (result.steps, min(metrics), first.path.stat().st_mtime_ns) == (5, 5, written)
    result, metrics = run(request)
    assert (result.completed, min(metrics), is_stable(request.destination)) == (True, 5, True)
    assert alike(weights_in(chained[0].destination), weights_in(request.destination))


def test_other_rows_of_stage_one_undo_stage_two(tiny_model: Path, tmp_path: Path) -> None:
    request = request_in(tmp_path, tiny_model, "two-stage")
    run(request, Scripted(stop_at=6))
    result, metrics = run(replace(request, examples=request.examples[:8]), Scripted(stop_at=3))
    assert (min(metrics), result.steps, result.total_steps) == (1, 3, 10)
