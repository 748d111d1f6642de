"""Tests of the leak check of prompts: a prompt that contains its target is found (trap 2, published rows), a clean one
passes.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompts.leakage import FEWEST_WORDS, NOTHING_TO_LEARN, STATES_TARGET, states_target, unfit_target
from engine.prompts.rollout import (
    Message,
    Problem,
    attempt_messages,
    correction_messages,
    one_stage_completion,
    one_stage_messages,
    reflection_messages,
)
from engine.tasks.base import Example as Worked

PROBLEM = Problem("What is 2 + 2?", "Finish with 'Answer:' and the result.", (Worked("What is 1 + 3?", "Answer: 4"),))
LONG = "I added the numbers in the wrong order, so start again from the left and check each step."


SOLVED = "two and two make 4"


def unfit(target: str) -> str | None:
    """The expected finding for a target that a user turn contains."""
    return STATES_TARGET if len(target.split()) >= FEWEST_WORDS else None


def reply(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def test_prompts_as_they_are_built_state_no_target() -> None:
    """Worked examples and a wrong first attempt may contain the target's text, in the model's own turns."""
    assert unfit_target(attempt_messages(PROBLEM), reply("Answer: 4")) is None
    attempt = "Answer: 4, no, Answer: 5"
    assert unfit_target(reflection_messages(PROBLEM, attempt, "Check each step."), reply(LONG)) is None
    for shown in (True, False):
        again = correction_messages(PROBLEM, attempt, LONG, show_previous_attempt=shown)
        assert unfit_target(again, reply("Answer: 4")) is None
    both = one_stage_messages(PROBLEM, attempt, "Check each step.")
    assert unfit_target(both, reply(one_stage_completion(LONG, "Answer: 4"))) is None


@pytest.mark.parametrize("shown", [True, False])
def test_a_reflection_that_states_the_answer_is_found_in_the_corrections_prompt(shown: bool) -> None:
    advice = f"You should say this:  {SOLVED}."
    told = correction_messages(PROBLEM, "Answer: 5", advice, show_previous_attempt=shown)
    assert unfit_target(told, reply(SOLVED)) == STATES_TARGET
    assert unfit_target(told, reply(f"{SOLVED}2")) is None
    assert unfit_target(told, reply(f"{SOLVED}.5")) is None
    assert unfit_target(told, reply("Answer: 4")) is None, "a few words stand in a prompt by chance"


def test_rows_rebuilt_after_the_step_are_found_in_every_setting() -> None:
    """As the public implementation stored it: the finished reflection and answer, inserted into the prompt."""
    after = [*reflection_messages(PROBLEM, "Answer: 5", "Check each step."), *reply(LONG)]
    assert unfit_target(after, reply(LONG)) == STATES_TARGET
    told: list[Message] = [*attempt_messages(PROBLEM), {"role": "user", "content": f"It is so: {SOLVED}"}]
    assert unfit_target(told, reply(SOLVED)) == STATES_TARGET
    assert unfit_target(told, reply(one_stage_completion(LONG, SOLVED))) == STATES_TARGET
    assert unfit_target(after, reply(one_stage_completion(LONG, SOLVED))) == STATES_TARGET


def test_the_models_own_turns_may_be_phrased_as_the_target() -> None:
    """A worked example of five words is no leak; a complete reflection in a turn of the model is one."""
    given: list[Message] = [*reply(SOLVED), {"role": "user", "content": "Again."}]
    assert unfit_target(given, reply(SOLVED)) is None
    assert unfit_target([*reply(LONG), *given], reply(LONG)) == STATES_TARGET


@given(st.text(alphabet=" \n\t"))
def test_an_empty_completion_teaches_nothing(blank: str) -> None:
    assert unfit_target(attempt_messages(PROBLEM), reply(blank)) == NOTHING_TO_LEARN


@given(st.text(alphabet="ab .,4", min_size=1), st.text(alphabet="ab .,4"), st.text(alphabet="ab .,4"))
def test_a_target_in_a_user_turn_is_found_whatever_surrounds_it(target: str, before: str, behind: str) -> None:
    told: list[Message] = [{"role": "user", "content": f"{before}\n{target.upper()}\n{behind} ."}]
    assert unfit_target(told, reply(target)) == (NOTHING_TO_LEARN if not target.strip() else unfit(target))
    assert states_target(told[0]["content"], target, fewest_words=1) == bool(target.strip())
