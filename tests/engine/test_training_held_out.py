"""Tests of the held-out loss: which questions are held out, when it ends a training, and that the best weights are
kept.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TrainingRefused
from engine.training import checkpoints
from engine.training.examples import Example
from engine.training.held_out import divide, evaluations_since_best, held_out_questions, question_of
from engine.training.request import TrainingRequest
from tests.engine.training_process import EXAMPLES, PAIRS, request_in, turn
from tests.engine.training_runs import Scripted, alike, raising, run, weights_in


def example(number: int, question: int | None) -> Example:
    return Example(number, turn("user", "q"), turn("assistant", "a"), question)


@given(
    questions=st.lists(st.integers(0, 12), min_size=2, max_size=40).filter(lambda found: len(set(found)) > 1),
    share=st.floats(0.01, 0.5),
    seed=st.integers(0, 1000),
)
def test_no_question_stands_on_both_sides(questions: list[int], share: float, seed: int) -> None:
    examples = [example(number, question) for number, question in enumerate(questions)]
    apart = held_out_questions(examples, share, seed)
    kept, held_out = divide(examples, apart)
    assert kept and held_out
    assert not {one.question_id for one in kept} & {one.question_id for one in held_out}
    assert sorted(one.id for one in (*kept, *held_out)) == list(range(len(questions)))
    assert apart == held_out_questions(examples[::-1], share, seed)
    assert len(apart) == min(max(1, round(share * len(set(questions)))), len(set(questions)) - 1)


def test_the_draw_depends_on_the_seed_and_needs_two_questions() -> None:
    examples = [example(number, number) for number in range(40)]
    assert held_out_questions(examples, 0.25, 1) != held_out_questions(examples, 0.25, 2)
    assert held_out_questions(examples, 0.0, 1) == frozenset()
    with pytest.raises(TrainingRefused, match="at least two questions"):
        held_out_questions([example(1, 7), example(2, 7)], 0.25, 1)
    assert question_of(example(7, None)) != question_of(example(7, 7))


def test_patience_counts_from_the_lowest_loss() -> None:
    assert [evaluations_since_best(losses) for losses in ([], [2.0], [2.0, 1.0], [2.0, 1.0, 1.0, 3.0])] == [0, 0, 0, 2]


def measured(request: TrainingRequest, **settings: Any) -> TrainingRequest:
    """A request with a held-out set, measured every two steps."""
    changed = {"validation_share": 0.25, "evaluation_steps": 2, "checkpoint_steps": 100, "epochs": 6.0}
    return replace(request, settings=request.settings.model_copy(update={**changed, **settings}))


WORDS = "lemon stone river amber cloud sword tiger piano ocean maple ghost brick flute haven jolly quilt".split()


@pytest.fixture(scope="module")
def overfitted(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRequest:
    """A request that overfits: the held-out loss falls for three measurements and then rises."""
    pytest.importorskip("trl")
    request = request_in(tmp_path_factory.mktemp("early"), tiny_model, "full")
    words = tuple(
        Example(number, turn("user", f"question {number}"), turn("assistant", word), number)
        for number, word in enumerate(WORDS)
    )
    return measured(
        replace(request, examples=words), learning_rate=1e-2, batch_size=4, patience=2, schedule="constant", warmup=0.0
    )


@pytest.fixture(scope="module")
def stopped(overfitted: TrainingRequest) -> dict[int, float]:
    """Held-out losses of the training that ended early."""
    result, metrics = run(overfitted)
    stage = result.stages[0]
    losses = {step: values["eval_loss"] for step, values in metrics.items() if "eval_loss" in values}
    assert result.completed and stage.stopped_early
    assert (stage.kept, stage.held_out) == (12, 4)
    assert 4 < stage.steps < 18 and result.total_steps == stage.steps == max(metrics)
    assert list(losses) == [*range(2, stage.steps + 1, 2)]
    assert stage.best_step == min(losses, key=lambda step: losses[step]) == stage.steps - 4
    assert stage.best_loss == pytest.approx(losses[stage.best_step])
    return losses


def test_the_best_weights_become_the_policy(
    overfitted: TrainingRequest, stopped: dict[int, float], tmp_path: Path
) -> None:
    """Its held-out loss, measured again, is the lowest one measured; that of the last weights is not."""
    settings = overfitted.settings.model_copy(update={"learning_rate": 1e-12, "epochs": 0.3, "evaluation_steps": 1})
    again = replace(
        overfitted,
        base=overfitted.destination / "merged",
        settings=settings,
        work_dir=tmp_path / "work",
        destination=tmp_path / "policy",
    )
    _, metrics = run(again)
    assert metrics[1]["eval_loss"] == pytest.approx(min(stopped.values()), abs=1e-3)
    assert abs(metrics[1]["eval_loss"] - list(stopped.values())[-1]) > 1e-2


def test_a_resume_remembers_the_losses(overfitted: TrainingRequest, stopped: dict[int, float], tmp_path: Path) -> None:
    """Stopped one step before patience runs out: it ends at the same step with the same weights."""
    request = replace(overfitted, work_dir=tmp_path / "work", destination=tmp_path / "policy")
    last = max(stopped)
    assert run(request, Scripted(stop_at=last - 1))[0].steps == last - 1
    result, metrics = run(request)
    assert (result.completed, result.steps, sorted(metrics)) == (True, last, [last])
    assert metrics[last]["eval_loss"] == pytest.approx(stopped[last], abs=1e-5)
    assert alike(weights_in(overfitted.destination), weights_in(request.destination))


def test_killed_after_the_early_end_it_only_saves(
    overfitted: TrainingRequest, stopped: dict[int, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = replace(overfitted, work_dir=tmp_path / "work", destination=tmp_path / "policy")
    with monkeypatch.context() as broken:
        broken.setattr("engine.training.train.save_policy", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(request)
    found = checkpoints.newest(request.work_dir)
    assert found is not None and found.finished(2) and not found.finished(None)
    result, metrics = run(request)
    assert (result.completed, result.steps, metrics) == (True, max(stopped), {})
    assert alike(weights_in(overfitted.destination), weights_in(request.destination), tolerance=0.0)


def test_preferences_and_both_stages_hold_out_the_same_questions(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    pairs = replace(request_in(tmp_path / "dpo", tiny_model, "dpo"), examples=PAIRS)
    _, metrics = run(measured(pairs, epochs=1.0, beta=0.5))
    assert {"eval_loss", "eval_rewards/margins", "eval_rewards/accuracies"} <= set(metrics[3])
    two = measured(request_in(tmp_path / "two", tiny_model, "two-stage"), epochs=1.0)
    result, metrics = run(two, Scripted(stop_at=4))
    assert [(stage.kept, stage.held_out) for stage in result.stages] == [(12, 4)] * 2
    apart = held_out_questions([*EXAMPLES, *two.second_examples], 0.25, two.seed)
    for part in (two.examples, two.second_examples):
        assert {question_of(one) for one in divide(part, apart)[1]} == apart
    assert "eval_loss" in metrics[3]  # stage 1 ends there, and its last step is always measured
