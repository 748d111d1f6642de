"""The messages of every prompt: attempt, reflection, correction, retry and the one-stage prompt.

Pure and versioned: the same inputs give the same messages, so that a stored version, inputs and hash prove the prompt
of a text. No function here takes a reference answer, hence none can reach a prompt. The wording is our own and short,
because models of 135M parameters read it too. There is no system message: not every chat template has one. For the
prefix cache, the parts that prompts share (examples, question, attempt) come first and the differences last.

Without an oracle no prompt may reveal the verdict, so its wording allows for a right attempt: such a prompt reads the
same after a right and a wrong one. Prompts of earlier versions can still be rendered (`version`), so that the hashes of
stored texts remain verifiable.

Independent of chat templates, tokens, models and databases. Source of the steps: ReflectEvo (ACL 2025 Findings, arXiv
2505.16475), sections 3.1 and 3.2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

from engine.tasks.base import Example
from store.settings import PreviousAttempt

PROMPT_VERSION = "2"
"""Increased with every change of wording or layout. Version 2 changed the prompts without an oracle, which before only
said that an answer may be wrong; prompts that state that an answer is wrong are those of version 1."""

SECOND_TRY = "Second try:"
"""The line between the reflection and the corrected attempt in a one-stage completion."""

_EMPTY = "(no answer)"


@dataclass(frozen=True)
class _Wording:
    """The sentences of a prompt that depend on what it says about the verdict on the attempt."""

    statement: str
    """On the verdict, where the attempt is a turn of its own."""
    first_try: str
    """On the verdict, where it is not."""
    reflect: str
    reflect_then_answer: str
    again: str
    """The request for a second attempt."""
    quoted: str = ""
    """Further sentence on an attempt quoted before the question."""


_WRONG = _Wording(
    statement="Your answer is wrong.",
    first_try="A first try at this question failed.",
    reflect=(
        "Reflect on your attempt in fewer than 100 words. Start at once, without an introduction. "
        "Do not state the answer and do not solve the question again."
    ),
    reflect_then_answer=(
        "First reflect on your attempt in fewer than 100 words, without an introduction and without stating the "
        f"answer. Then write the line '{SECOND_TRY}' and solve the question again."
    ),
    again="Solve the question again.",
)
_UNKNOWN: Mapping[str, _Wording] = {
    "1": replace(
        _WRONG, statement="Your answer may be wrong.", first_try="A first try at this question may have failed."
    ),
    "2": _Wording(
        statement="Your answer may be right or wrong.",
        first_try="A first try at this question may be right or wrong.",
        reflect=(
            "Reflect on your attempt in fewer than 100 words: if it is right, say so; otherwise name the mistake. "
            "Start at once, without an introduction. Do not state the answer and do not solve the question again."
        ),
        reflect_then_answer=(
            "First reflect on your attempt in fewer than 100 words, without an introduction and without stating the "
            f"answer: if it is right, say so; otherwise name the mistake. Then write the line '{SECOND_TRY}' and solve "
            "the question again; if your answer is right, give it again."
        ),
        again="Solve the question again; if your answer is right, say so and give it again.",
        quoted="If it is right, say so and give its answer again.",
    ),
}
VERSIONS = tuple(_UNKNOWN)
"""The versions that can be rendered, oldest first."""


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
    problem: Problem,
    attempt_text: str,
    instruction_text: str,
    *,
    told_wrong: bool = True,
    detail: str = "",
    version: str = PROMPT_VERSION,
) -> list[Message]:
    """Return the prompt of a reflection on one attempt (paper, section 3.1). The instruction comes last.

    Args:
        problem: the question.
        attempt_text: the attempt that is reflected on.
        instruction_text: the reflection instruction.
        told_wrong: False where the prompt must not reveal the verdict, i.e. without an oracle.
        detail: what the verifier reports on the wrong attempt (see `TaskType.feedback`); ignored without an oracle.
        version: the version to render; an unknown one is rendered as the current one.

    Worked examples with a reflection show it as the reply to the same request, without the detail of this attempt.
    """
    words = _wording(told_wrong, version)

    def request(said: str) -> Message:
        return _user(f"{said} {words.reflect}", instruction_text)

    asked = request(_verdict(words, told_wrong, detail))
    return _reflected_on(problem, attempt_text, asked, request(words.statement), lambda _, reflection: reflection)


def correction_messages(
    problem: Problem,
    attempt_text: str,
    reflection_text: str,
    *,
    show_previous_attempt: PreviousAttempt,
    told_wrong: bool = True,
    detail: str = "",
    version: str = PROMPT_VERSION,
) -> list[Message]:
    """Return the prompt of a correction: the question, one attempt (when shown) and a single reflection on it.

    The other arguments are those of `reflection_messages`.
    """
    reflection = reflection_text.strip() or _EMPTY
    words = _wording(told_wrong, version)
    if show_previous_attempt is True:
        request = f"{_verdict(words, told_wrong, detail)} Use this reflection on it:\n{reflection}"
        return [
            *_attempted(problem, attempt_text),
            _user(request, f"{words.again} {problem.format_instruction}"),
        ]
    first_try = _first_try(words, told_wrong, detail)
    if show_previous_attempt == "quoted":
        quoted = _quoted(first_try, words, attempt_text)
        return _asked_anew(problem, before=(quoted, f"Use this advice:\n{reflection}"))
    return _asked_anew(problem, after=f"{first_try} Use this advice:\n{reflection}")


def retry_messages(
    problem: Problem,
    attempt_text: str,
    *,
    show_previous_attempt: PreviousAttempt,
    told_wrong: bool = True,
    detail: str = "",
    version: str = PROMPT_VERSION,
) -> list[Message]:
    """Return the prompt of the baseline: a second try that differs from a correction only in having no reflection."""
    words = _wording(told_wrong, version)
    if show_previous_attempt is True:
        request = f"{_verdict(words, told_wrong, detail)} {words.again} {problem.format_instruction}"
        return [*_attempted(problem, attempt_text), _user(request)]
    first_try = _first_try(words, told_wrong, detail)
    if show_previous_attempt == "quoted":
        return _asked_anew(problem, before=(_quoted(first_try, words, attempt_text),))
    return _asked_anew(problem, after=first_try)


def one_stage_messages(
    problem: Problem,
    attempt_text: str,
    instruction_text: str,
    *,
    told_wrong: bool = True,
    detail: str = "",
    version: str = PROMPT_VERSION,
) -> list[Message]:
    """Return the prompt of the one-stage setting: reflect, then answer, in one reply (paper, section 3.3).

    The arguments are those of `reflection_messages`.
    """
    words = _wording(told_wrong, version)

    def request(said: str) -> Message:
        return _user(f"{said} {words.reflect_then_answer} {problem.format_instruction}", instruction_text)

    asked = request(_verdict(words, told_wrong, detail))
    return _reflected_on(
        problem,
        attempt_text,
        asked,
        request(words.statement),
        lambda answer, reflection: one_stage_completion(reflection, answer),
    )


def one_stage_completion(reflection: str, corrected_attempt: str) -> str:
    """Return the target of one-stage training: the reflection, the `SECOND_TRY` line, the corrected attempt."""
    return f"{one_stage_beginning(reflection)}{corrected_attempt.strip()}"


def one_stage_beginning(reflection: str) -> str:
    """Return a one-stage reply up to its second try; a corrected attempt continues it."""
    return f"{reflection.strip()}\n\n{SECOND_TRY}\n"


def prompt_hash(messages: Sequence[Message]) -> str:
    """Return the SHA-256 (hex) of the messages' canonical JSON, which the database stores instead of the prompt."""
    canonical = json.dumps(list(messages), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _attempted(problem: Problem, attempt_text: str) -> list[Message]:
    return [*attempt_messages(problem), _assistant(attempt_text)]


def _reflected_on(
    problem: Problem, attempt_text: str, request: Message, worked_request: Message, worked: Callable[[str, str], str]
) -> list[Message]:
    """Return attempt and request after the worked examples; examples with a reflection reply to the same request.

    `worked` builds that reply from an example's answer and reflection. `worked_request` is `request` without the detail
    of this attempt. It is otherwise identical, although its instruction ends the shared prefix there: with requests
    without instructions in the examples, 47 to 77 % of SmolLM2-135M's reflections reached the limit of 48 tokens; this
    way 0 to 29 % (three examples, about 70 attempts at each of four tasks, temperature 0.5).
    """
    messages: list[Message] = []
    for example in problem.few_shot:
        messages.append(_user(example.question.strip(), problem.format_instruction))
        if example.attempt is None or example.reflection is None:
            messages.append(_assistant(example.answer))
        else:
            reply = worked(example.answer, example.reflection)
            messages += [_assistant(example.attempt), worked_request, _assistant(reply)]
    return [*messages, *_attempted(replace(problem, few_shot=()), attempt_text), request]


def _asked_anew(problem: Problem, *, before: Sequence[str] = (), after: str = "") -> list[Message]:
    """Return the question as one turn, as in the prompt of attempt 1, together with the information on that attempt.

    With that information before the question, the turn ends like the worked examples: 86 to 94 % of SmolLM2-135M's
    sampled corrections contained an answer, against 26 to 67 % with the attempt as a separate turn (40 questions of
    each of four tasks, temperature 0.7).
    """
    *examples, _ = attempt_messages(problem)
    return [*examples, _user(*before, problem.question, after, problem.format_instruction)]


def _quoted(first_try: str, words: _Wording, attempt_text: str) -> str:
    said = f"{first_try} {words.quoted}" if words.quoted else first_try
    return f"{said} It was:\n{attempt_text.strip() or _EMPTY}"


def _user(*parts: str) -> Message:
    return {"role": "user", "content": "\n\n".join(part for part in parts if part)}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text.strip() or _EMPTY}


def _wording(told_wrong: bool, version: str) -> _Wording:
    return _WRONG if told_wrong else _UNKNOWN.get(version, _UNKNOWN[PROMPT_VERSION])


def _verdict(words: _Wording, told_wrong: bool, detail: str) -> str:
    return f"{words.statement} {detail}" if told_wrong and detail else words.statement


def _first_try(words: _Wording, told_wrong: bool, detail: str) -> str:
    return f"{words.first_try} {detail}" if told_wrong and detail else words.first_try
