"""Tests of the prompts: no reference answer, one reflection at a time, a shared prefix, a stable hash."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompts import rollout
from engine.prompts.instructions import BUILT_IN, compose
from engine.prompts.rollout import (
    Message,
    Problem,
    attempt_messages,
    correction_messages,
    one_stage_completion,
    one_stage_messages,
    prompt_hash,
    reflection_messages,
    retry_messages,
)
from engine.tasks.base import Example
from store.settings import PreviousAttempt

TEXT = st.text(min_size=1, max_size=40)
PROBLEM = Problem("2 + 3?", "Finish with 'Answer:'.", (Example("1 + 1?", "Answer: 2"),))


def written(messages: list[Message]) -> str:
    return "\n".join(message["content"] for message in messages)


def test_no_prompt_function_takes_a_reference_or_a_question_record() -> None:
    """Trap 2: what isn't an argument can't be in the prompt."""
    allowed = {
        "problem", "attempt_text", "instruction_text", "reflection_text", "show_previous_attempt", "told_wrong",
        "detail", "version",
    }  # fmt: skip
    functions = [one for name, one in inspect.getmembers(rollout, inspect.isfunction) if name.endswith("_messages")]
    assert len(functions) == 5
    for function in functions:
        assert set(inspect.signature(function).parameters) <= allowed
    assert set(Problem.__dataclass_fields__) == {"question", "format_instruction", "few_shot"}


@given(st.uuids().map(str), TEXT)
def test_the_reference_stays_out_of_every_prompt(reference: str, attempt: str) -> None:
    """A prompt contains only text from its arguments, so that a reference is never among it."""
    for messages in (
        attempt_messages(PROBLEM),
        reflection_messages(PROBLEM, attempt, compose("1-1-1")),
        correction_messages(PROBLEM, attempt, "Count again.", show_previous_attempt=True),
        retry_messages(PROBLEM, attempt, show_previous_attempt=True),
        one_stage_messages(PROBLEM, attempt, compose("1-1-1")),
    ):
        assert reference not in written(messages)


@pytest.mark.parametrize("build", [reflection_messages, one_stage_messages])
def test_instructions_share_everything_but_the_last_part(build: Callable[..., list[Message]]) -> None:
    """The prefix cache computes question and attempt once for all 32 instructions."""
    built = {key: build(PROBLEM, "Answer: 6", compose(key)) for key in BUILT_IN.keys}
    heads = {prompt_hash(messages[:-1]) for messages in built.values()}
    assert len(heads) == 1
    lasts = {key: messages[-1]["content"] for key, messages in built.items()}
    fronts = {text.removesuffix(compose(key)) for key, text in lasts.items()}
    assert len(fronts) == 1
    assert all(text.endswith(compose(key)) for key, text in lasts.items())


@given(TEXT, TEXT)
def test_every_later_prompt_continues_the_attempt_prompt(attempt: str, reflection: str) -> None:
    """Attempt, reflection and correction share examples and question as a prefix of messages."""
    head = attempt_messages(PROBLEM)
    for messages in (
        reflection_messages(PROBLEM, attempt, "Check."),
        correction_messages(PROBLEM, attempt, reflection, show_previous_attempt=True),
        retry_messages(PROBLEM, attempt, show_previous_attempt=True),
    ):
        assert messages[: len(head)] == head
        assert messages[len(head)]["role"] == "assistant"
    hidden = correction_messages(PROBLEM, attempt, reflection, show_previous_attempt=False)
    assert hidden[:-1] == head[:-1]
    assert hidden[-1]["content"].startswith(PROBLEM.question)


@given(TEXT, TEXT)
def test_a_quoted_attempt_is_told_in_the_turn_that_asks_and_that_turn_ends_as_the_first_did(
    attempt: str, reflection: str
) -> None:
    """A small model follows the worked examples' format only where the question is formatted like theirs."""
    *examples, asked = attempt_messages(PROBLEM)
    correction = correction_messages(PROBLEM, attempt, reflection, show_previous_attempt="quoted")
    retry = retry_messages(PROBLEM, attempt, show_previous_attempt="quoted")
    for messages in (correction, retry):
        assert messages[:-1] == examples
        assert messages[-1]["role"] == "user"
        assert messages[-1]["content"].endswith(asked["content"])
        assert (attempt.strip() or "(no answer)") in messages[-1]["content"].removesuffix(asked["content"])
    assert (reflection.strip() or "(no answer)") in correction[-1]["content"].removesuffix(asked["content"])


def test_worked_reflections_are_shown_where_reflections_are_asked_for_and_nowhere_else() -> None:
    """They reply to the same request, so that a small model continues in their format."""
    shown = Example("1 + 1?", "1 + 1 = 2. Answer: 2", "1 + 1 = 3. Answer: 3", "I counted one too many.")
    problem = Problem("2 + 3?", "Finish with 'Answer:'.", (Example("1 + 0?", "Answer: 1"), shown))
    asked = reflection_messages(problem, "Answer: 6", compose("1-1-1"))
    contents = [message["content"] for message in asked]
    assert contents[1] == "Answer: 1", "one without a reflection stays as it is"
    assert contents[3:6] == [shown.attempt, contents[-1], shown.reflection]
    assert contents[-2] == "Answer: 6" and shown.answer not in written(asked)
    both = one_stage_messages(problem, "Answer: 6", compose("1-1-1"))
    assert both[5]["content"] == one_stage_completion("I counted one too many.", shown.answer)
    for messages in (
        attempt_messages(problem),
        correction_messages(problem, "Answer: 6", "Count again.", show_previous_attempt="quoted"),
        retry_messages(problem, "Answer: 6", show_previous_attempt=True),
    ):
        assert shown.answer in written(messages)
        assert "one too many" not in written(messages) and "= 3" not in written(messages)


def test_roles_alternate_and_no_turn_is_empty() -> None:
    """Chat templates refuse two turns of one role, and some refuse a system turn or an empty one."""
    for messages in (
        reflection_messages(PROBLEM, " ", "Check."),
        correction_messages(PROBLEM, "", "", show_previous_attempt=True),
        correction_messages(PROBLEM, "", "", show_previous_attempt=False),
        correction_messages(PROBLEM, "", "", show_previous_attempt="quoted"),
        retry_messages(PROBLEM, "", show_previous_attempt="quoted"),
    ):
        assert [message["role"] for message in messages] == ["user", "assistant"] * (len(messages) // 2) + ["user"] * (
            len(messages) % 2
        )
        assert all(message["content"].strip() for message in messages)


def test_a_correction_knows_one_reflection_and_no_later_attempt() -> None:
    """Trap 1: reflection 2 and its correction are conditioned on attempt 1, never on another correction."""
    first = correction_messages(PROBLEM, "ATTEMPT-1", "REFLECTION-1", show_previous_attempt=True)
    second = correction_messages(PROBLEM, "ATTEMPT-1", "REFLECTION-2", show_previous_attempt=True)
    assert "REFLECTION-1" in written(first)
    assert "REFLECTION-1" not in written(second)
    assert written(second).replace("REFLECTION-2", "REFLECTION-1") == written(first)
    hidden = correction_messages(PROBLEM, "ATTEMPT-1", "REFLECTION-1", show_previous_attempt=False)
    assert "ATTEMPT-1" not in written(hidden)


def test_without_an_oracle_no_verdict_is_given_away() -> None:
    """Trap 3: when every answer is reflected on, a right one must not be called wrong."""
    for told, untold in (
        (reflection_messages(PROBLEM, "x", "y"), reflection_messages(PROBLEM, "x", "y", told_wrong=False)),
        (
            correction_messages(PROBLEM, "x", "y", show_previous_attempt=True),
            correction_messages(PROBLEM, "x", "y", show_previous_attempt=True, told_wrong=False),
        ),
        (
            retry_messages(PROBLEM, "x", show_previous_attempt=True),
            retry_messages(PROBLEM, "x", show_previous_attempt=True, told_wrong=False),
        ),
    ):
        assert "is wrong" in told[-1]["content"]
        assert "is wrong" not in untold[-1]["content"]
    for build in (
        lambda told: correction_messages(PROBLEM, "x", "y", show_previous_attempt="quoted", told_wrong=told),
        lambda told: retry_messages(PROBLEM, "x", show_previous_attempt="quoted", told_wrong=told),
    ):
        assert "question failed" in build(True)[-1]["content"]
        assert "may be right or wrong" in build(False)[-1]["content"]
        assert "failed" not in build(False)[-1]["content"]


@pytest.mark.parametrize("show", [True, False, "quoted"])
def test_the_verifiers_detail_follows_the_verdict_and_is_never_told_without_an_oracle(show: PreviousAttempt) -> None:
    """Prompts with and without a reflection state the same; none states it where the verdict is hidden."""
    detail = "The tests report: test 1 of 3: assert f(1) == 2 gave 3."
    for told in (True, False):
        prompts = [
            reflection_messages(PROBLEM, "x", "y", told_wrong=told, detail=detail),
            one_stage_messages(PROBLEM, "x", "y", told_wrong=told, detail=detail),
            correction_messages(PROBLEM, "x", "R", show_previous_attempt=show, told_wrong=told, detail=detail),
            retry_messages(PROBLEM, "x", show_previous_attempt=show, told_wrong=told, detail=detail),
        ]
        assert [written(prompt).count(detail) for prompt in prompts] == [int(told)] * 4


@pytest.mark.parametrize("build", [reflection_messages, one_stage_messages])
def test_a_worked_reflection_does_not_report_the_detail_of_another_attempt(
    build: Callable[..., list[Message]],
) -> None:
    """The test that failed belongs to the attempt of this question."""
    example = Example("1 + 1?", "Answer: 2", "Answer: 3", "I counted one too many.")
    messages = build(Problem("2 + 3?", "", (example,)), "Answer: 6", "Check.", detail="The tests report: T1.")
    assert [message["content"].count("T1") for message in messages if message["role"] == "user"] == [0, 0, 0, 1]


def test_a_neutral_prompt_allows_for_a_right_answer() -> None:
    """A policy that is only ever told to change its answer turns right ones into wrong ones."""
    for messages in (
        reflection_messages(PROBLEM, "x", "y", told_wrong=False),
        one_stage_messages(PROBLEM, "x", "y", told_wrong=False),
        correction_messages(PROBLEM, "x", "R", show_previous_attempt=True, told_wrong=False),
        retry_messages(PROBLEM, "x", show_previous_attempt=True, told_wrong=False),
        retry_messages(PROBLEM, "x", show_previous_attempt="quoted", told_wrong=False),
    ):
        assert "right" in messages[-1]["content"]


def test_a_retry_differs_from_a_correction_only_by_the_reflection() -> None:
    """The wording must not handicap the baseline."""
    retry = retry_messages(PROBLEM, "x", show_previous_attempt=True)[-1]["content"]
    correction = correction_messages(PROBLEM, "x", "R", show_previous_attempt=True)[-1]["content"]
    assert correction.replace(" Use this reflection on it:\nR\n\n", " ") == retry
    quoted = retry_messages(PROBLEM, "x", show_previous_attempt="quoted")[-1]["content"]
    correction = correction_messages(PROBLEM, "x", "R", show_previous_attempt="quoted")[-1]["content"]
    assert correction.replace("Use this advice:\nR\n\n", "") == quoted


@given(st.lists(TEXT, max_size=4))
def test_the_hash_depends_on_content_alone(texts: list[str]) -> None:
    """The order of keys in a message is not content."""
    one: list[Message] = [{"role": "user", "content": text} for text in texts]
    other: list[Message] = [{"content": text, "role": "user"} for text in texts]
    assert prompt_hash(one) == prompt_hash(other)
    assert prompt_hash([*one, {"role": "user", "content": "more"}]) != prompt_hash(one)


@pytest.mark.parametrize(
    ("version", "digest"),
    [
        ("1", "cb984dd72a9f089b57bbfb8c0affcf2d46db0d714c82bdcabfbe407bc369afd1"),
        ("2", "67cbf83172bcf6360b8931452667dc73cbd0c3521fb04152ea1829597396685e"),
    ],
)
def test_the_hash_and_the_wording_are_those_of_their_version(version: str, digest: str) -> None:
    """A change of wording must raise PROMPT_VERSION, and earlier versions must still render: only then do stored hashes
    prove the prompt.
    """
    everything = [
        *reflection_messages(PROBLEM, "Answer: 6", compose("1-1-1"), version=version),
        *correction_messages(PROBLEM, "Answer: 6", "Count.", show_previous_attempt=True, version=version),
        *correction_messages(PROBLEM, "Answer: 6", "Count.", show_previous_attempt=False, version=version),
        *retry_messages(PROBLEM, "Answer: 6", show_previous_attempt=False, told_wrong=False, version=version),
        *one_stage_messages(PROBLEM, "Answer: 6", compose("2-8-2"), told_wrong=False, version=version),
    ]
    assert prompt_hash(everything) == digest
    assert rollout.PROMPT_VERSION == rollout.VERSIONS[-1] == "2"
    assert prompt_hash([{"role": "user", "content": "\ud800 ü"}])
