"""The messages of every prompt: attempt, reflection, correction, retry and the one-stage prompt.

Pure and versioned: the same inputs give the same messages, so that a stored version, inputs and hash prove the prompt
of a text. No function here takes a reference answer, hence none can reach a prompt. The wording is our own and short,
because models of 135M parameters read it too. There is no system message: not every chat template has one. For the
prefix cache, the parts that prompts share (examples, question, attempt) come first and the differences last.

Independent of chat templates, tokens, models and databases. Source of the steps: ReflectEvo (ACL 2025 Findings, arXiv
2505.16475), sections 3.1 and 3.2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

from engine.tasks.base import Example
from store.settings import PreviousAttempt

PROMPT_VERSION = "1"
"""Increased with every change of wording or layout."""

SECOND_TRY = "Second try:"
"""The line between the reflection and the corrected attempt in a one-stage completion."""

_WRONG = "Your answer is wrong."
_UNSURE = "Your answer may be wrong."
_FAILED = "A first try at this question failed."
_UNCHECKED = "A first try at this question may have failed."
_REFLECT = (
    "Reflect on your attempt in fewer than 100 words. Start at once, without an introduction. "
    "Do not state the answer and do not solve the question again."
)
_REFLECT_THEN_ANSWER = (
    "First reflect on your attempt in fewer than 100 words, without an introduction and without stating the answer. "
    f"Then write the line '{SECOND_TRY}' and solve the question again."
)
_EMPTY = "(no answer)"


class Message(TypedDict):
    """One chat turn."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True)
class Problem:
    """The common start of all prompts on one question. Never contains the reference answer."""

    question: str
    """The rendered question with its options: see `engine.tasks.base.render_question`."""
    format_instruction: str
    few_shot: tuple[Example, ...] = ()


def attempt_messages(problem: Problem) -> list[Message]:
    """Return the prompt of attempt 1: worked examples as chat turns, then the question."""
    messages: list[Message] = []
    for example in problem.few_shot:
        messages.append(_user(example.question.strip(), problem.format_instruction))
        messages.append(_assistant(example.answer))
    messages.append(_user(problem.question, problem.format_instruction))
    return messages


def reflection_messages(
    problem: Problem, attempt_text: str, instruction_text: str, *, told_wrong: bool = True
) -> list[Message]:
    """Return the prompt of a reflection on one attempt (paper, section 3.1). The instruction comes last.

    `told_wrong` is False where the prompt must not reveal the verdict, i.e. in evaluation without an oracle. Worked
    examples with a reflection show it as the reply to the same request.
    """
    request = _user(f"{_verdict(told_wrong)} {_REFLECT}", instruction_text)
    return _reflected_on(problem, attempt_text, request, lambda _, reflection: reflection)


def correction_messages(
    problem: Problem,
    attempt_text: str,
    reflection_text: str,
    *,
    show_previous_attempt: PreviousAttempt,
    told_wrong: bool = True,
) -> list[Message]:
    """Return the prompt of a correction: the question, one attempt (when shown) and a single reflection on it."""
    reflection = reflection_text.strip() or _EMPTY
    if show_previous_attempt is True:
        request = f"{_verdict(told_wrong)} Use this reflection on it:\n{reflection}"
        return [
            *_attempted(problem, attempt_text),
            _user(request, f"Solve the question again. {problem.format_instruction}"),
        ]
    if show_previous_attempt == "quoted":
        return _asked_anew(problem, before=(_quoted(attempt_text, told_wrong), f"Use this advice:\n{reflection}"))
    return _asked_anew(problem, after=f"{_first_try(told_wrong)} Use this advice:\n{reflection}")


def retry_messages(
    problem: Problem, attempt_text: str, *, show_previous_attempt: PreviousAttempt, told_wrong: bool = True
) -> list[Message]:
    """Return the prompt of the baseline: a second try that differs from a correction only in having no reflection."""
    if show_previous_attempt is True:
        request = f"{_verdict(told_wrong)} Solve the question again. {problem.format_instruction}"
        return [*_attempted(problem, attempt_text), _user(request)]
    if show_previous_attempt == "quoted":
        return _asked_anew(problem, before=(_quoted(attempt_text, told_wrong),))
    return _asked_anew(problem, after=_first_try(told_wrong))


def one_stage_messages(
    problem: Problem, attempt_text: str, instruction_text: str, *, told_wrong: bool = True
) -> list[Message]:
    """Return the prompt of the one-stage setting: reflect, then answer, in one reply (paper, section 3.3)."""
    request = _user(f"{_verdict(told_wrong)} {_REFLECT_THEN_ANSWER} {problem.format_instruction}", instruction_text)
    return _reflected_on(
        problem, attempt_text, request, lambda answer, reflection: one_stage_completion(reflection, answer)
    )


def one_stage_completion(reflection: str, corrected_attempt: str) -> str:
    """Return the target of one-stage training: the reflection, the `SECOND_TRY` line, the corrected attempt."""
    return f"{reflection.strip()}\n\n{SECOND_TRY}\n{corrected_attempt.strip()}"


def prompt_hash(messages: Sequence[Message]) -> str:
    """Return the SHA-256 (hex) of the messages' canonical JSON, which the database stores instead of the prompt."""
    canonical = json.dumps(list(messages), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _attempted(problem: Problem, attempt_text: str) -> list[Message]:
    return [*attempt_messages(problem), _assistant(attempt_text)]


def _reflected_on(
    problem: Problem, attempt_text: str, request: Message, worked: Callable[[str, str], str]
) -> list[Message]:
    """Return attempt and request after the worked examples; examples with a reflection reply to the same request.

    `worked` builds that reply from an example's answer and reflection. The request is identical, although its
    instruction ends the shared prefix there: with requests without instructions in the examples, 47 to 77 % of
    SmolLM2-135M's reflections reached the limit of 48 tokens; this way 0 to 29 % (three examples, about 70 attempts at
    each of four tasks, temperature 0.5).
    """
    messages: list[Message] = []
    for example in problem.few_shot:
        messages.append(_user(example.question.strip(), problem.format_instruction))
        if example.attempt is None or example.reflection is None:
            messages.append(_assistant(example.answer))
        else:
            reply = worked(example.answer, example.reflection)
            messages += [_assistant(example.attempt), request, _assistant(reply)]
    return [*messages, *_attempted(replace(problem, few_shot=()), attempt_text), request]


def _asked_anew(problem: Problem, *, before: Sequence[str] = (), after: str = "") -> list[Message]:
    """Return the question as one turn, as in the prompt of attempt 1, together with the information on that attempt.

    With that information before the question, the turn ends like the worked examples: 86 to 94 % of SmolLM2-135M's
    sampled corrections contained an answer, against 26 to 67 % with the attempt as a separate turn (40 questions of
    each of four tasks, temperature 0.7).
    """
    *examples, _ = attempt_messages(problem)
    return [*examples, _user(*before, problem.question, after, problem.format_instruction)]


def _quoted(attempt_text: str, told_wrong: bool) -> str:
    return f"{_first_try(told_wrong)} It was:\n{attempt_text.strip() or _EMPTY}"


def _user(*parts: str) -> Message:
    return {"role": "user", "content": "\n\n".join(part for part in parts if part)}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text.strip() or _EMPTY}


def _verdict(told_wrong: bool) -> str:
    return _WRONG if told_wrong else _UNSURE


def _first_try(told_wrong: bool) -> str:
    return _FAILED if told_wrong else _UNCHECKED
