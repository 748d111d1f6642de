"""Builds training examples from curated rows: which prompt and which completion in which stage (paper, section 3.3).

| setting | rows | prompt → completion |
|---|---|---|
| `sft-one-stage` | D+ | question, attempt, request → reflection and corrected attempt |
| `sft-two-stage` | D+ | 1: question, attempt, request → reflection; 2: the correction's prompt → corrected attempt |
| `sft-two-stage-shuffled` | D+ | as `sft-two-stage`; stage 2 is shown the reflection on another question |
| `sft-retry` | D+ | the prompt of a second try without a reflection → corrected attempt |
| `dpo-verdict`, `dpo-judge` | D±, Dpref | question, attempt, request → chosen over rejected reflection |
| `kto-verdict` | D+ and what it left out as incorrect | question, attempt, request → reflection, desirable or not |
| `sft-qa` | training questions | the attempt's prompt → worked solution or reference answer |

Examples made from sampled first attempts are in `engine.training.sampled_attempts`.

Pure: records in, examples out. Prompts come from `engine.prompts.rollout` alone, so that the policy is trained on the
prompts of its later rollouts. Independent of tokens, trainers and the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from engine.errors import EngineError
from engine.prompts.instructions import GENERAL
from engine.prompts.rollout import (
    Message,
    Problem,
    attempt_messages,
    correction_messages,
    one_stage_completion,
    one_stage_messages,
    reflection_messages,
    retry_messages,
)
from engine.training.examples import AnyExample, Example, LabelledExample, Pair
from store.curation.records import CuratedRow
from store.curation.training_settings import StageFacts, TrainingSettingEntry
from store.records import StoredAttempt, StoredQuestion, StoredReflection
from store.settings import PreviousAttempt

Record = TypeVar("Record")


@dataclass(frozen=True)
class Rollouts:
    """The records that curated rows reference, by id."""

    problems: Mapping[int, Problem]
    """By question."""
    attempts: Mapping[int, StoredAttempt]
    """Attempts of all turns."""
    reflections: Mapping[int, StoredReflection]
    compose: Callable[[str], str]
    """Text of an instruction from its key."""
    show_previous_attempt: PreviousAttempt
    """How correction prompts show the first attempt in this iteration; stage 2 trains on the same prompts."""
    shuffled: Mapping[int, int] = field(default_factory=dict)
    """Id of the reflection on another question that a shuffled stage shows, by curated row."""
    told_wrong: bool = True
    """Whether the prompts of this iteration state that an attempt is wrong."""
    attempt_thoughts: Mapping[int, str] = field(default_factory=dict)
    """What was thought before an attempt, as written, by its id; see `store.rollouts.thoughts`."""
    reflection_thoughts: Mapping[int, str] = field(default_factory=dict)
    feedback: Callable[[StoredAttempt], str] = lambda _: ""
    """What they say on an attempt besides that; see `engine.rollout.plan_prompts.feedback_on`."""


@dataclass(frozen=True)
class SourceRow:
    """A curated row with the records that every kind of example is built from."""

    row: CuratedRow
    problem: Problem
    attempt: StoredAttempt
    """The attempt that was reflected on."""
    reflection: StoredReflection
    """The reflection of the row; of a pair, the preferred one."""
    instruction: str
    """The text of the instruction that the reflection was generated with."""


def source_row(row: CuratedRow, rollouts: Rollouts) -> SourceRow:
    """Return a curated row with the records it references. Raises EngineError when one of them is missing."""
    reflection = _found(rollouts.reflections, row.reflection_id, "reflection", row)
    attempt = _found(rollouts.attempts, reflection.attempt_id, "attempt", row)
    problem = _found(rollouts.problems, attempt.question_id, "question", row)
    return SourceRow(row, problem, attempt, reflection, rollouts.compose(reflection.instruction))


def pair_examples(entry: TrainingSettingEntry, source: SourceRow, rollouts: Rollouts) -> tuple[AnyExample, ...]:
    """Return one pair: the preferred over the rejected reflection, both after the prompt with their instruction.

    A pair of two instructions is asked with the general one, which favours neither.

    Raises EngineError when the rejected reflection is missing.
    """
    row = source.row
    rejected = _found(rollouts.reflections, row.rejected_reflection_id, "rejected reflection", row)
    if pair_instruction(source.reflection, rejected) != source.reflection.instruction:
        source = replace(source, instruction=rollouts.compose(GENERAL))
    asked = tuple(prompt_of(entry.stages[0], source, rollouts))
    chosen, other = (reply(_reflection(one, rollouts)) for one in (source.reflection, rejected))
    return (Pair(row.id, asked, chosen, other, source.attempt.question_id),)


def pair_instruction(chosen: StoredReflection, rejected: StoredReflection) -> str:
    """Return the key of the instruction that a pair is asked with: theirs, or the general one if they differ."""
    return chosen.instruction if chosen.instruction == rejected.instruction else GENERAL


def reflection_examples(entry: TrainingSettingEntry, source: SourceRow, rollouts: Rollouts) -> tuple[AnyExample, ...]:
    """Return one example per stage, with the texts that stage learns. Raises EngineError without a correction."""
    correction = correction_of(source.row, rollouts)
    # The correction of a right attempt gives it again, as its prompt asks.
    repeatable = source.attempt.reasoning if source.attempt.verdict == "correct" else ""
    return tuple(
        Example(
            source.row.id,
            tuple(prompt_of(stage, source, rollouts)),
            reply(_completion(stage, source.reflection, correction, rollouts)),
            source.attempt.question_id,
            repeatable if "correction" in stage.learnt else "",
        )
        for stage in entry.stages
    )


def labelled_examples(entry: TrainingSettingEntry, source: SourceRow, rollouts: Rollouts) -> tuple[AnyExample, ...]:
    """Return the reflection as an example that is desirable if its correction is correct.

    Raises EngineError without a correction.
    """
    right = correction_of(source.row, rollouts).verdict == "correct"
    asked = tuple(prompt_of(entry.stages[0], source, rollouts))
    return (
        LabelledExample(
            source.row.id,
            asked,
            reply(_reflection(source.reflection, rollouts)),
            source.attempt.question_id,
            desirable=right,
        ),
    )


def reflection_prompt(
    stage: StageFacts,
    problem: Problem,
    attempt: str,
    instruction: str,
    *,
    told_wrong: bool = True,
    detail: str = "",
) -> list[Message]:
    """Return the prompt for a reflection in training: alone, or with the correction in the same reply.

    `told_wrong` and `detail` are those of the rollouts, so that a policy is trained on the prompts it is asked.
    """
    ask = one_stage_messages if stage.one_generation else reflection_messages
    return ask(problem, attempt, instruction, told_wrong=told_wrong, detail=detail)


def prompt_of(stage: StageFacts, source: SourceRow, rollouts: Rollouts) -> list[Message]:
    """Return the prompt of a stage's example. Raises EngineError when the reflection that it shows is missing."""
    if stage.prompt == "attempt":
        return attempt_messages(source.problem)
    if stage.prompt == "reflection":
        return reflection_prompt(
            stage,
            source.problem,
            source.attempt.reasoning,
            source.instruction,
            told_wrong=rollouts.told_wrong,
            detail=rollouts.feedback(source.attempt),
        )
    if stage.prompt == "retry":
        return retry_messages(
            source.problem,
            source.attempt.reasoning,
            show_previous_attempt=rollouts.show_previous_attempt,
            told_wrong=rollouts.told_wrong,
            detail=rollouts.feedback(source.attempt),
        )
    shown = source.reflection
    if stage.shuffled:
        other = rollouts.shuffled.get(source.row.id)
        shown = _found(rollouts.reflections, other, "reflection on another question", source.row)
    return correction_messages(
        source.problem,
        source.attempt.reasoning,
        shown.text,
        show_previous_attempt=rollouts.show_previous_attempt,
        told_wrong=rollouts.told_wrong,
        detail=rollouts.feedback(source.attempt),
    )


def _completion(stage: StageFacts, reflection: StoredReflection, correction: StoredAttempt, rollouts: Rollouts) -> str:
    """Return what a stage learns to write, with the thought before it."""
    if stage.one_generation:
        return one_stage_completion(_reflection(reflection, rollouts), correction.reasoning)
    if stage.learnt == ("reflection",):
        return _reflection(reflection, rollouts)
    return rollouts.attempt_thoughts.get(correction.id, "") + correction.reasoning


def _reflection(reflection: StoredReflection, rollouts: Rollouts) -> str:
    return rollouts.reflection_thoughts.get(reflection.id, "") + reflection.text


def correction_of(row: CuratedRow, rollouts: Rollouts) -> StoredAttempt:
    """Return the corrected attempt of a row of D+. Raises EngineError when it is missing."""
    return _found(rollouts.attempts, row.correction_id, "correction", row)


def question_example(question: StoredQuestion, problem: Problem) -> Example:
    """Return the example of the baseline `sft-qa`: question → right answer, no reflection; its id is the question's.

    The answer is the worked solution stored with the question, or else the reference in the answer format.
    """
    worked = question.payload.get("worked")
    answer = worked if isinstance(worked, str) and worked.strip() else f"Answer: {question.reference}"
    return Example(question.id, tuple(attempt_messages(problem)), reply(answer), question.id)


def reply(text: str) -> tuple[Message, ...]:
    """Return a completion of one assistant turn."""
    return ({"role": "assistant", "content": text},)


def _found(records: Mapping[int, Record], number: int | None, what: str, row: CuratedRow) -> Record:
    record = records.get(number) if number is not None else None
    if record is None:
        named = f"{what} {number}" if number is not None else f"a {what}"
        raise EngineError(
            f"curated row {row.id} ({row.set_name}) needs {named}, which is not there; curate the iteration again"
        )
    return record
