"""Tests the plan of an experiment: every series complete, every promoted policy evaluated once, and it terminates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from reflectevo_tui.experiment.plan import (
    Complete,
    Iterate,
    Known,
    Measure,
    ResumeIteration,
    held_after,
    missing,
    next_step,
    planned_series,
)
from store.errors import SettingsError
from store.records import Evaluation, Iteration, Policy
from store.settings import RunSettings
from store.settings.run import measuring
from store.settings.toml_file import parse_settings
from tests.support.experiments import experiment_settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> RunSettings:
    return parse_settings(experiment_settings(tmp_path_factory.mktemp("plan"), iterations=3, seeds="[4, 5]"))


def policy(number: int, parent: int | None, iteration: int | None, state: Any) -> Policy:
    name = f"p{number - 1:02d}"
    return Policy(number, 1, parent, iteration, name, "x", "reasoner reflector", "", "", state, "", {}, 0.0)


class Simulated:
    """A simulated engine that applies every directive.

    `outcomes` holds the result of each iteration (a promoted child, a refused one, or none), and how good the children
    are.
    """

    def __init__(self, outcomes: list[tuple[str, float]]) -> None:
        self.outcomes = outcomes
        self.iterations: list[Iteration] = []
        self.policies = [policy(1, None, None, "promoted")]
        self.evaluations: list[Evaluation] = []
        self.steps: list[Any] = []

    @property
    def known(self) -> Known:
        # Before the run there is nothing, not even its base policy.
        return Known(self.iterations, self.policies if self.iterations else [], self.evaluations)

    def add(self, kind: Any, parent: int, child: int | None, values: RunSettings) -> int:
        number = 1 + sum(one.kind == kind for one in self.iterations)
        made = len(self.iterations) + 1
        stored = values.model_dump(mode="json")
        self.iterations.append(
            Iteration(made, 1, number, parent, child, stored, "done", "run", "because", 0, 0.0, 1.0, kind)
        )
        return made

    def measured(self, policy_id: int, iteration: int, protocol: str, value: float) -> None:
        metrics = {"acc_t2": {"value": value, "low": value, "high": value, "n": 4.0}}
        self.evaluations.append(
            Evaluation(len(self.evaluations) + 1, policy_id, iteration, protocol, "", 4, metrics, 0.0)
        )

    def do(self, step: Measure | Iterate) -> None:
        self.steps.append(step)
        if isinstance(step, Measure):
            one = next(one for one in self.policies if one.name == step.policy)
            made = self.add("evaluation", one.id, None, step.settings)
            self.measured(one.id, made, "oracle/test", 0.5)
            return
        what, value = self.outcomes[len([one for one in self.steps if isinstance(one, Iterate)]) % len(self.outcomes)]
        child = len(self.policies) + 1 if what != "none" else None
        made = self.add("training", step.policy_id, child, step.settings)
        if not any(one.protocol == "oracle/dev" for one in self.evaluations):
            self.measured(step.policy_id, made, "oracle/dev", 0.5)
        if child is not None:
            self.policies.append(policy(child, step.policy_id, made, what))
            self.measured(child, made, "oracle/dev", value)

    def run(self, settings: RunSettings) -> None:
        for _ in range(60):
            step = next_step(settings, self.known)
            if isinstance(step, Complete):
                return
            assert not isinstance(step, ResumeIteration)
            self.do(step)
        raise AssertionError("it never ends")


OUTCOMES = st.lists(
    st.tuples(st.sampled_from(["promoted", "rejected", "none"]), st.floats(0, 1)), min_size=1, max_size=14
)


@given(outcomes=OUTCOMES)
@hypothesis_settings(max_examples=60, deadline=None)
def test_whatever_comes_of_the_iterations_the_plan_ends_whole(
    settings: RunSettings, outcomes: list[tuple[str, float]]
) -> None:
    """With refused policies and iterations without any: every series has its iterations, each from the policy it held,
    and every promoted policy is evaluated on the test questions, the final one as such.
    """
    engine = Simulated(outcomes)
    engine.run(settings)
    known = engine.known
    assert isinstance(engine.steps[0], Measure) and engine.steps[0].policy == "p00"
    iterations = [step for step in engine.steps if isinstance(step, Iterate)]
    for series in planned_series(settings, known):
        own = [step for step in iterations if step.series == series]
        assert [step.number for step in own] == list(range(1, series.iterations + 1))
        for step in own:
            held = held_after(series, step.number - 1, known)
            assert held is not None and step.policy_id == held.id
            assert step.settings.seed == series.seed and step.settings.series == series.name
            assert step.settings.evaluation.split == "dev" and step.settings.experiment is None
        end = held_after(series, series.iterations, known)
        assert end is not None
        at_its_end = measuring(settings, "end").evaluation
        assert any(
            step.policy == end.name and step.settings.evaluation == at_its_end
            for step in engine.steps
            if isinstance(step, Measure)
        )
    measured = [(step.policy, step.settings.evaluation) for step in engine.steps if isinstance(step, Measure)]
    assert len(measured) == len({(name, one.model_dump_json()) for name, one in measured}), "nothing is measured twice"
    names = {name for name, _ in measured}
    assert names == {one.name for one in known.policies if one.state == "promoted"}
    assert all(one.split == "test" for _, one in measured)
    assert all("left no policy" in words for words in missing(settings, known))


def test_the_best_series_is_chosen_on_dev_questions_and_never_a_baseline(settings: RunSettings) -> None:
    """The baseline scores highest and the test questions would favour another series; neither counts."""
    # qa, two-stage × 3, dpo, then the repetitions; the simulated engine counts from 1.
    engine = Simulated([("promoted", 0.0), *[("promoted", value) for value in (0.99, 0.3, 0.3, 0.3, 0.4)]])
    engine.run(settings)
    again = [step.series.name for step in engine.steps if isinstance(step, Iterate)][5:]
    assert again == ["dpo", "dpo"]


def test_what_was_begun_is_gone_on_with_first(settings: RunSettings) -> None:
    """An iteration that waits, stopped or failed comes before anything new."""
    engine = Simulated([("promoted", 0.5)])
    engine.run(settings)
    stopped = replace(engine.iterations[3], state="stopped")
    known = Known([*engine.iterations[:3], stopped], engine.policies, engine.evaluations)
    assert next_step(settings, known) == ResumeIteration(stopped)


def test_texts_are_taken_over_within_a_seed_and_attempts_across_seeds(settings: RunSettings) -> None:
    """Two settings differ in their training, not in luck; another seed, or a second try, generates new reflections."""
    engine = Simulated([("rejected", 0.5)])
    engine.run(settings)
    taken = {}
    for step in engine.steps:
        if isinstance(step, Iterate):
            reuse = step.settings.reuse
            taken[step.series.name, step.series.seed, step.number] = reuse and (reuse.iteration, reuse.what)
    assert taken["qa", 3, 1] is None
    assert taken["two-stage", 3, 1] == taken["dpo", 3, 1] == (1, "corrections")
    assert taken["two-stage", 3, 2] == taken["two-stage", 3, 3] == (1, "attempts")
    assert {what for (_, seed, _), what in taken.items() if seed != 3} == {(1, "attempts")}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('split = "dev"', 'split = "test"', "must not look at the test"),
        ("question_seed = 5\n", "", "repeat_seeds needs question_seed"),
        ("repeat_seeds = [4]", "repeat_seeds = [3]", "seed 3 is the run's own"),
        ("test = 8", "test = 0", "needs test questions of every task"),
        ('name = "dpo"', 'name = "qa"', "two series are named 'qa'"),
        ('setting = "dpo-verdict"', 'setting = "dpo-vredict"', "series dpo: training.setting: "),
        ("changes = { training", "changes = { generation", "'generation' can't differ between series"),
        ('{ training = { setting = "sft-qa" }', '{ evaluation = { split = "test" }', "'evaluation.split' can't differ"),
        (
            '{ training = { setting = "sft-qa" }',
            "{ reflection = { max_tokens = 9 }",
            "'reflection.max_tokens' can't differ",
        ),
        ("vote_samples = 3", "vote_samples = 300", "measure_base: evaluation.vote_samples: "),
    ],
)
def test_an_experiment_that_would_not_be_honest_or_whole_is_refused(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    """Before the first hour of computing."""
    text = experiment_settings(tmp_path)
    assert old in text
    with pytest.raises(SettingsError, match=words.replace("(", r"\(")):
        parse_settings(text.replace(old, new))
