"""Tests of policies that reflect and correct in one reply: what they are asked, and what is stored of the reply."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.commands.render_prompt import rerender
from engine.exchange.export_run import export_run
from engine.generation.base import Generated, GenerationRequest
from engine.prompts.instructions import compose
from engine.prompts.rollout import SECOND_TRY, one_stage_messages, prompt_hash
from engine.rollout.load_plan import asked_in_one_generation, training_plan
from engine.rollout.plan import count
from engine.training.load_examples import training_examples
from store.database.connection import open_reader, write
from store.rollouts.attempts import rollout_attempts, rollout_reflections
from store.runs.iterations import get_iteration
from store.runs.policies import add_policy
from store.settings import RunSettings
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings
from tests.support.rollout_plans import (
    KEYS,
    FakeGenerator,
    add_questions,
    failing,
    generated,
    make_plan,
    make_rollout,
    run_plan,
    stage_of,
    stored,
    work,
)
from tests.support.rows import Rows

Make = Callable[[str], EngineHarness]


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """A database with questions of every verdict."""
    made = Rows(tmp_path / "reflectevo.db")
    add_questions(made)
    yield made
    made.connection.close()


def test_one_reply_is_stored_as_a_reflection_and_its_correction(rows: Rows) -> None:
    """Review, curation and lists find the two texts where they find those of two replies."""
    plan = make_plan(rows, one_generation=True)
    generator = run_plan(rows, plan)
    assert [stage_of(request) for request in generator.requests].count("both") == 3 * len(KEYS)
    assert not generator.of("reflect") and not generator.of("correct")
    for request in generator.of("both"):
        assert (request.max_tokens, request.temperature) == (20 + 30, 0.8)
    reflections = {row.id: row for row in rollout_reflections(rows.connection, rows.iteration)}
    corrections = [row for row in rollout_attempts(rows.connection, rows.iteration) if row.turn == 2]
    assert len(reflections) == len(corrections) == 3 * len(KEYS)
    for correction in corrections:
        reflection = reflections[correction.reflection_id or 0]
        assert reflection.text.startswith("[reflect of ") and correction.reasoning.startswith("[correct of ")
        assert reflection.seed == correction.seed
        assert reflection.prompt_hash == correction.prompt_hash
        # The fake reply has 7 prompt and 5 completion tokens.
        assert (reflection.prompt_tokens, correction.prompt_tokens) == (7, 0)
        assert reflection.completion_tokens + correction.completion_tokens == 5
    counts = count(plan, stored(rows))
    assert counts.complete and counts.done["correct"] == counts.done["reflect"] == 9
    assert len([row for row in work(rows) if row[1] == -1 and "→" in str(row[4])]) == 9


class _Mute(FakeGenerator):
    """A policy that never comes to its second try."""

    async def generate(self, request: GenerationRequest, on_text: Callable[[str], None] | None = None) -> Generated:
        made = await super().generate(request, on_text)
        return generated("I don't know.", request.seed) if stage_of(request) == "both" else made


def test_a_reply_without_a_second_try_costs_its_own_verdict(rows: Rows) -> None:
    """It is no answer, with the reason; everything else goes on."""
    plan = make_plan(rows, one_generation=True, rounds=2)
    run_plan(rows, plan, _Mute())
    corrections = [row for row in rollout_attempts(rows.connection, rows.iteration) if row.turn == 2]
    assert len(corrections) == 9
    assert {row.reasoning for row in corrections} == {""}
    assert {row.detail for row in corrections} == {
        f"the reply has no line {SECOND_TRY!r}, so it contains no second attempt"
    }
    assert {row.completion_tokens for row in corrections} == {0}
    assert {row.error for row in corrections} == {None}
    assert count(plan, stored(rows)).complete
    assert run_plan(rows, plan).requests == []


def test_a_failed_reply_is_a_failed_reflection(rows: Rows) -> None:
    """As with two prompts, the trajectory ends with it."""
    plan = make_plan(rows, one_generation=True)
    run_plan(rows, plan, failing("both", 99), retries=1)
    assert all(row.error for row in rollout_reflections(rows.connection, rows.iteration))
    assert not [row for row in rollout_attempts(rows.connection, rows.iteration) if row.turn == 2]
    assert count(plan, stored(rows)).complete


def test_in_step_pace_both_texts_come_with_the_stage_of_reflections(rows: Rows) -> None:
    """The stage of corrections then has nothing left, and loads no model for it."""
    for stage, asked in (("attempt", 6), ("reflect", 9), ("correct", 0)):
        assert len(run_plan(rows, make_plan(rows, stages=(stage,), one_generation=True)).requests) == asked


def test_a_missing_correction_continues_the_reply_of_its_reflection(rows: Rows) -> None:
    """After `retry-failed`, or with a reused reflection, only the second half of the reply is generated."""
    run_plan(rows, make_plan(rows, one_generation=True))
    before = rollout_reflections(rows.connection, rows.iteration)
    with write(rows.connection):
        rows.connection.execute("DELETE FROM trajectories WHERE correction_id IS NOT NULL")
        rows.connection.execute("DELETE FROM attempts WHERE turn = 2")
    generator = run_plan(rows, make_plan(rows, one_generation=True))
    assert len(generator.requests) == 9
    texts = {row.text for row in before}
    for request in generator.requests:
        *_, asked, beginning = request.messages
        assert f"'{SECOND_TRY}'" in asked["content"] and beginning["role"] == "assistant"
        assert beginning["content"].endswith(f"\n\n{SECOND_TRY}\n")
        assert beginning["content"].removesuffix(f"\n\n{SECOND_TRY}\n") in texts
    assert rollout_reflections(rows.connection, rows.iteration) == before


def test_further_corrections_continue_the_reply_too(rows: Rows) -> None:
    """They are drawn from what the policy would write after this reflection, not from another prompt."""
    generator = run_plan(rows, make_plan(rows, one_generation=True, correction_samples=3, retries=3))
    continued = [request for request in generator.requests if request.messages[-1]["role"] == "assistant"]
    assert len(continued) == 9 * 2
    assert len(generator.of("retry")) == 3 * 3


def test_the_training_of_a_policy_decides_how_it_is_asked(rows: Rows) -> None:
    """A fact of the setting's stages: settings on other texts leave their parent's prompts."""

    def policy(name: str, setting: str, parent: int) -> int:
        with write(rows.connection):
            return add_policy(
                rows.connection, run_id=rows.run, parent_id=parent, iteration_id=None, name=name, setting=setting,
                path=name, base_model="m", state="promoted", details={},
            )  # fmt: skip

    one = policy("one", "sft-one-stage", rows.policy)
    later = policy("later", "sft-qa", one)
    two = policy("two", "sft-two-stage", one)
    pairs = policy("pairs", "dpo-verdict", one)
    gone = policy("gone", "a-setting-of-a-removed-extension", one)
    asked = {
        who: asked_in_one_generation(rows.connection, who, who) for who in (rows.policy, one, later, two, pairs, gone)
    }
    assert asked == {rows.policy: False, one: True, later: True, two: False, pairs: False, gone: True}
    assert not asked_in_one_generation(rows.connection, one, rows.policy), "another policy reflects for it"


def test_a_one_stage_policy_is_measured_and_trained_on_one_prompt(harness: Make, tmp_path: Path) -> None:
    """The default setting: the base is asked in two prompts, its child in the one it was trained on, in evaluation and
    in the rollouts of iteration 2, whose D+ then contains the policy's own prompt and reply.
    """
    one = harness(quiz_settings(tmp_path, sections='setting = "sft-one-stage"', train=16, test=8))
    one.start()
    one.run()
    one.wait_state("done")
    base, child = (row[0] for row in one.rows("SELECT id FROM policies ORDER BY id"))
    with closing(open_reader(one.workspace.database)) as connection:
        assert not asked_in_one_generation(connection, base, base)
        assert asked_in_one_generation(connection, child, child)
    together = (
        "SELECT count(*), sum(c.prompt_hash = r.prompt_hash) FROM attempts c JOIN reflections r"
        " ON r.id = c.reflection_id WHERE c.protocol <> '' AND c.policy_id = "
    )
    for policy, expected in ((base, False), (child, True)):
        n, same = one.rows(f"{together}{policy}")[0]
        assert n > 0 and same == (n if expected else 0)
    # Both under one protocol, so that they are compared.
    assert len(one.rows("SELECT DISTINCT protocol FROM evaluations")) == 1
    settings = json.loads(one.rows("SELECT settings FROM runs")[0][0])
    one.issue("branch", policy=child, settings=settings)
    one.wait(lambda: one.status()["iteration"]["number"] == 2 and one.status()["iteration"]["state"] == "done")
    for (number,) in one.rows("SELECT id FROM reflections"):
        assert rerender(one.workspace, attempt_id=None, reflection_id=number)["matches"] is True
    for (number,) in one.rows("SELECT id FROM attempts"):
        assert rerender(one.workspace, attempt_id=number, reflection_id=None)["matches"] is True
    with closing(open_reader(one.workspace.database)) as connection:
        (second,) = (row[0] for row in one.rows("SELECT id FROM iterations WHERE number = 2"))
        iteration = get_iteration(connection, second)
        plan = training_plan(connection, second).plan
        assert plan.one_generation
        ((*examples,),) = training_examples(connection, iteration, RunSettings.model_validate(iteration.settings))
        hashes = {row.prompt_hash for row in rollout_reflections(connection, second)}
        assert examples and {prompt_hash(example.prompt) for example in examples} <= hashes
        replies = [example.completion[0]["content"] for example in examples]
        assert all(f"\n\n{SECOND_TRY}\n" in reply for reply in replies)
    assert one.rows(f"SELECT count(*) FROM trajectories WHERE iteration_id = {second} AND correction_id > 0")[0][0] > 0
    to = tmp_path / "exported"
    export_run(
        one.workspace, run="scripted", number=2, export_format="published-d-plus", encoding="jsonl", destination=to
    )
    records = [json.loads(line) for line in (to / "data" / "train.jsonl").read_text("utf-8").splitlines()]
    assert records
    for record in records:
        assert f"'{SECOND_TRY}'" in record["reflect_prompt"]
        assert record["reason_prompt"][1] == record["reflect_prompt"], "one prompt asked for both texts"


def test_the_prompt_of_one_reply_is_the_prompt_of_its_training(rows: Rows) -> None:
    """One function renders both."""
    plan = make_plan(rows, one_generation=True)
    generator = FakeGenerator()
    rollout, _ = make_rollout(rows, plan, generator)
    assert asyncio.run(rollout.run())
    attempts = {
        row.question_id: row.reasoning for row in rollout_attempts(rows.connection, rows.iteration) if row.turn == 1
    }
    expected = {
        prompt_hash(one_stage_messages(plan.problems[question], attempts[question], compose(key)))
        for question in attempts
        for key, _ in KEYS
    }
    assert {prompt_hash(request.messages) for request in generator.of("both")} <= expected
