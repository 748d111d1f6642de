"""From curated rows to training examples: which prompt, which completion, in which stage (paper, section 3.3).

| setting | rows | prompt → completion |
|---|---|---|
| `sft-one-stage` | D+ | question, attempt, request → reflection and corrected attempt |
| `sft-two-stage` | D+ | 1: question, attempt, request → reflection; 2: the correction's prompt → corrected attempt |
| `dpo-verdict`, `dpo-judge` | D±, Dpref | question, attempt, request → chosen over rejected reflection |
| `sft-qa` | training questions | the attempt's prompt → worked or short right answer |

Pure: records in, examples out. Prompts come from `engine.prompts.rollout` alone and are those that will be asked later.
Knows nothing of tokens, trainers or the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from engine.errors import EngineError
from engine.prompts.rollout import (
    Message,
    Problem,
    attempt_messages,
    correction_messages,
    one_stage_completion,
    one_stage_messages,
    reflection_messages,
)
from engine.training.examples import AnyExample, Example, Pair
from store.curation.records import CuratedRow
from store.records import StoredAttempt, StoredQuestion, StoredReflection
from store.settings import PreviousAttempt, TrainingSetting

Record = TypeVar("Record")


@dataclass(frozen=True)
class Rollouts:
    """What curated rows point to, by id."""

    problems: Mapping[int, Problem]
    """By question."""
    attempts: Mapping[int, StoredAttempt]
    """Attempts of all turns."""
    reflections: Mapping[int, StoredReflection]
    compose: Callable[[str], str]
    """Text of an instruction from its key."""
    show_previous_attempt: PreviousAttempt
    """How corrections are asked for in this iteration: stage 2 trains on what is asked."""


def stage_examples(
    setting: TrainingSetting, rows: Iterable[CuratedRow], rollouts: Rollouts
) -> tuple[tuple[AnyExample, ...], ...]:
    """The examples of each stage of a setting that trains on curated rows; ids are those of the rows.

    Raises EngineError when a row points to something that isn't there.
    """
    by_row = [row_examples(setting, row, rollouts) for row in rows]
    return tuple(zip(*by_row, strict=True)) if by_row else ((),)


def row_examples(setting: TrainingSetting, row: CuratedRow, rollouts: Rollouts) -> tuple[AnyExample, ...]:
    """What one curated row becomes: one example a stage. Raises EngineError as `stage_examples`."""
    reflection = _found(rollouts.reflections, row.reflection_id, "reflection", row)
    attempt = _found(rollouts.attempts, reflection.attempt_id, "attempt", row)
    problem = _found(rollouts.problems, attempt.question_id, "question", row)
    instruction = rollouts.compose(reflection.instruction)
    question = attempt.question_id
    asked = tuple(reflection_messages(problem, attempt.reasoning, instruction))
    if setting in ("dpo-verdict", "dpo-judge"):
        # One prompt for both sides of a pair: the chosen reflection's instruction asks.
        rejected = _found(rollouts.reflections, row.rejected_reflection_id, "rejected reflection", row)
        return (Pair(row.id, asked, reply(reflection.text), reply(rejected.text), question),)
    correction = correction_of(row, rollouts)
    if setting == "sft-two-stage":
        again = correction_messages(
            problem, attempt.reasoning, reflection.text, show_previous_attempt=rollouts.show_previous_attempt
        )
        return (
            Example(row.id, asked, reply(reflection.text), question),
            Example(row.id, tuple(again), reply(correction.reasoning), question),
        )
    if setting == "sft-one-stage":
        both = one_stage_messages(problem, attempt.reasoning, instruction)
        answer = one_stage_completion(reflection.text, correction.reasoning)
        return (Example(row.id, tuple(both), reply(answer), question),)
    raise EngineError(f"{setting} doesn't train on curated rows")


def correction_of(row: CuratedRow, rollouts: Rollouts) -> StoredAttempt:
    """The corrected attempt of a row of D+. Raises EngineError when it isn't there."""
    return _found(rollouts.attempts, row.correction_id, "correction", row)


def question_example(question: StoredQuestion, problem: Problem) -> Example:
    """The baseline `sft-qa`: the question → a right answer, no reflection; the id is the question's.

    The answer is the worked solution that came with the question, or else the reference in the answer format.
    """
    worked = question.payload.get("worked")
    answer = worked if isinstance(worked, str) and worked.strip() else f"Answer: {question.reference}"
    return Example(question.id, tuple(attempt_messages(problem)), reply(answer), question.id)


def reply(text: str) -> tuple[Message, ...]:
    """A completion: one turn of the model."""
    return ({"role": "assistant", "content": text},)


def _found(records: Mapping[int, Record], number: int | None, what: str, row: CuratedRow) -> Record:
    record = records.get(number) if number is not None else None
    if record is None:
        named = f"{what} {number}" if number is not None else f"a {what}"
        raise EngineError(
            f"curated row {row.id} ({row.set_name}) needs {named}, which is not there; curate the iteration again"
        )
    return record
