"""Tests of the training process with a real store and a real model: each of the five settings, from curated rows to a
policy row, and from that row to the weights of each role.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

from engine.models.loading import load_model, load_tokenizer
from engine.models.weights import require_weights, root_model, weights_of
from engine.prompts.leakage import STATES_TARGET
from engine.stages.context import Commands, Pulse, StageContext
from engine.stages.job import Job
from engine.stages.train import train, training_request
from store.control.telemetry import events, metrics
from store.curation.curated import NewCurated, replace_curated
from store.curation.training_settings import TRAINING_SETTINGS
from store.database.connection import write
from store.records import Policy
from store.runs import iterations
from store.runs.iterations import get_iteration
from store.runs.policies import get_policy
from store.settings import RunSettings
from store.workspace import Workspace
from tests.engine.training_runs import logits
from tests.support.rows import Rows, run_settings

QUESTIONS = 4


class Child:
    """A workspace in which one iteration after another is trained."""

    def __init__(self, root: Path, model: Path) -> None:
        root.mkdir()
        self.workspace = Workspace(root)
        self.rows = Rows(self.workspace.database, run_settings(generation={"generator": "transformers"}))
        self.connection = self.rows.connection
        self.parent = self.rows.policy
        with write(self.connection):
            self.connection.execute("UPDATE policies SET path = ?1, base_model = ?1", (str(model),))
            self.questions = [self.rows.question(f"Is {n} even?") for n in range(QUESTIONS)]

    def train(self, **training: Any) -> Policy:
        """Train an iteration from the newest policy, with invented rollouts and curated rows and real training."""
        numbers = {"batch_size": 2, "max_length": 900, "learning_rate": 1e-2, "lora_dropout": 0.0}
        settings = run_settings(generation={"generator": "transformers"}, training={**numbers, **training})
        with write(self.connection):
            iteration = iterations.add_iteration(
                self.connection, self.rows.run, self.parent, settings.model_dump(mode="json"), 0
            )
            self.rows.iteration = iteration
            self._roll_out()
        context = StageContext(
            self.workspace,
            Job("train", self.rows.run, iteration),
            self.connection,
            Commands(),
            cast(Pulse, Silence()),
        )
        assert train(context)
        child = get_iteration(self.connection, iteration).child_id
        assert child is not None
        self.parent = child
        return get_policy(self.connection, child)

    def _roll_out(self) -> None:
        rows: list[NewCurated] = []
        for question in self.questions:
            attempt = self.rows.attempt(question, text="Answer: A")
            good, correction = self.rows.corrected(attempt, question, text="Divide by two first.", sample=0)
            bad, failed = self.rows.corrected(attempt, question, "incorrect", text="I should guess.", sample=1)
            rows += [
                NewCurated("d_plus", good, None, correction, True, "included"),
                NewCurated("d_pm", good, bad, correction, True, "included"),
                NewCurated("d_pref", bad, good, None, True, "included"),
                NewCurated("d_plus", bad, None, failed, False, "correction incorrect"),
            ]
            self.rows.attempt(question, "correct", text="It is even: yes.", sample=1)
            self.rows.attempt(question, "incorrect", text="I say no.", sample=2)
        replace_curated(self.connection, self.rows.iteration, rows)

    def curves(self) -> set[str]:
        """Names of the metrics of the newest training."""
        return {point.name for point in metrics(self.connection, self.rows.iteration, "train")}


class Silence:
    """A pulse that reports to nobody."""

    def beat(self, state: str, detail: object = None) -> None:
        """Do nothing."""


@pytest.fixture
def child(tiny_model: Path, tmp_path: Path) -> Iterator[Child]:
    made = Child(tmp_path / "workspace", tiny_model)
    yield made
    made.connection.close()


@pytest.mark.parametrize(
    ("setting", "steps", "curve"),
    [
        ("sft-one-stage", 2, "mean_token_accuracy"),
        ("sft-two-stage", 4, "training_stage"),
        ("dpo-verdict", 2, "rewards/margins"),
        ("dpo-judge", 2, "rewards/margins"),
        ("sft-qa", 2, "mean_token_accuracy"),
        ("kto-verdict", 4, "rewards/margins"),
        ("sft-attempts", 2, "mean_token_accuracy"),
        ("dpo-attempts", 2, "rewards/margins"),
        ("sft-retry", 2, "mean_token_accuracy"),
        ("sft-two-stage-shuffled", 4, "training_stage"),
    ],
)
def test_each_setting_trains_its_rows_into_a_policy(setting: str, steps: int, curve: str, child: Child) -> None:
    policy = child.train(setting=setting)
    examples = 2 * QUESTIONS if TRAINING_SETTINGS[setting].loss == "kto" else QUESTIONS
    assert (policy.setting, policy.details["steps"], policy.details["examples"]) == (setting, steps, examples)
    assert (policy.roles, policy.state, policy.details["dropped"]) == ("reasoner reflector", "candidate", 0)
    assert {"loss", curve} <= child.curves()
    stage = next(one for one in iterations.stages(child.connection, child.rows.iteration) if one.name == "train")
    assert (stage.done, stage.total) == (steps, steps)
    weights = weights_of(child.connection, child.workspace, policy.id)
    require_weights(weights)
    assert weights == weights_of(child.connection, child.workspace, policy.id, role="reflector")
    assert (weights.merged.name, weights.adapter is None) == ("merged", False)


def test_separate_adapters_are_served_by_role_and_continued_by_role(child: Child, tiny_model: Path) -> None:
    """Served under different numbers and paths, by which a prefix cache identifies an adapter (an adapter changed in
    place would still be answered from the cache of the old one).
    """
    policy = child.train(setting="sft-two-stage", adapters="separate")
    reasoner = weights_of(child.connection, child.workspace, policy.id)
    reflector = weights_of(child.connection, child.workspace, policy.id, role="reflector")
    for weights in (reasoner, reflector):
        require_weights(weights)
    tokenizer = load_tokenizer(tiny_model)
    answers = [logits(load_model(weights.merged, "float32"), tokenizer) for weights in (reasoner, reflector)]
    assert not answers[0].equal(answers[1])
    after = child.train(setting="dpo-verdict")
    served = [
        weights_of(child.connection, child.workspace, number, role)
        for number in (policy.id, after.id)
        for role in ("reasoner", "reflector")
    ]
    assert len({weights.adapter_id for weights in served}) == len({weights.adapter for weights in served}) == 4
    assert after.details["separate"] is True
    for weights in (reasoner, reflector):
        require_weights(weights)  # the parent's are unchanged
    trained = logits(load_model(served[3].merged, "float32"), tokenizer)
    assert not trained.equal(answers[1])
    assert logits(load_model(served[2].merged, "float32"), tokenizer).equal(answers[0])


def test_a_full_policy_becomes_the_base_of_its_children(child: Child, tiny_model: Path) -> None:
    policy = child.train(setting="sft-one-stage", method="full", learning_rate=1e-3)
    merged = child.workspace.root / policy.path / "merged"
    weights = weights_of(child.connection, child.workspace, policy.id)
    require_weights(weights)
    assert (weights.base, weights.merged, weights.adapter) == (merged, merged, None)
    assert policy.base_model == f"{policy.path}/merged"
    next_one = child.train(setting="dpo-verdict", reference="base")
    weights = weights_of(child.connection, child.workspace, next_one.id)
    assert (weights.base, weights.adapter is None) == (merged, False)
    assert root_model(child.connection, child.workspace, next_one.id) == tiny_model
    iteration = get_iteration(child.connection, child.rows.iteration)
    request = training_request(
        child.connection, child.workspace, iteration, RunSettings.model_validate(iteration.settings)
    )
    assert (request.base, request.reference_base, request.parent_adapter) == (merged, tiny_model, None)


def test_what_is_dropped_is_counted_and_told(child: Child) -> None:
    """One reflection contains the complete corrected attempt: stage 2 would see its target in the prompt."""
    original = child._roll_out
    target = "Half of it is whole: yes."

    def leaking() -> None:
        original()
        (reflection,) = child.connection.execute(
            "SELECT min(reflection_id) FROM curated WHERE iteration_id = ? AND set_name = 'd_plus'",
            (child.rows.iteration,),
        ).fetchone()
        for statement, text in (
            ("UPDATE reflections SET text = ? WHERE id = ?", f"You should have written: {target}"),
            ("UPDATE attempts SET reasoning = ? WHERE reflection_id = ?", target),
        ):
            child.connection.execute(statement, (text, reflection))

    child._roll_out = leaking  # type: ignore[method-assign]
    policy = child.train(setting="sft-two-stage")
    assert (policy.details["examples"], policy.details["dropped"]) == (QUESTIONS - 1, 1)
    assert any(f"1 dropped (1 {STATES_TARGET})" in event.text for event in events(child.connection))
