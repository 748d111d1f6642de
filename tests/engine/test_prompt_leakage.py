"""Prompts that state their target are found (trap of published rows), and honest ones are left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompts.leakage import NOTHING_TO_LEARN, STATES_TARGET, unfit_target
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


def reply(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def test_prompts_as_they_are_built_state_no_target() -> None:
    """Worked examples and a wrong first attempt may say what the target says, in the model's own turns."""
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
    told = correction_messages(PROBLEM, "Answer: 5", "You should say answer:  4.", show_previous_attempt=shown)
    assert unfit_target(told, reply("Answer: 4")) == STATES_TARGET
    assert unfit_target(told, reply("Answer: 42")) is None
    assert unfit_target(told, reply("Answer: 4.5")) is None


def test_rows_rebuilt_after_the_step_are_found_in_every_setting() -> None:
    """What the public implementation saved: the finished reflection and answer, put back into the prompt."""
    after = [*reflection_messages(PROBLEM, "Answer: 5", "Check each step."), *reply(LONG)]
    assert unfit_target(after, reply(LONG)) == STATES_TARGET
    told: list[Message] = [*attempt_messages(PROBLEM), {"role": "user", "content": "It is Answer: 4"}]
    assert unfit_target(told, reply("Answer: 4")) == STATES_TARGET
    assert unfit_target(told, reply(one_stage_completion(LONG, "Answer: 4"))) == STATES_TARGET
    assert unfit_target(after, reply(one_stage_completion(LONG, "Answer: 4"))) == STATES_TARGET


@given(st.text(alphabet=" \n\t"))
def test_an_empty_completion_teaches_nothing(blank: str) -> None:
    assert unfit_target(attempt_messages(PROBLEM), reply(blank)) == NOTHING_TO_LEARN


@given(st.text(alphabet="ab .,4", min_size=1), st.text(alphabet="ab .,4"), st.text(alphabet="ab .,4"))
def test_a_target_in_a_user_turn_is_found_whatever_surrounds_it(target: str, before: str, behind: str) -> None:
    told: list[Message] = [{"role": "user", "content": f"{before}\n{target.upper()}\n{behind} ."}]
    expected = STATES_TARGET if target.strip() else NOTHING_TO_LEARN
    assert unfit_target(told, reply(target)) == expected
