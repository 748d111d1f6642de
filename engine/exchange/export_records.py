"""Records in the published formats, of generated and of imported iterations, page by page.

An imported record is exported as it was imported. A generated record has the published fields, and in addition those
that a re-import would otherwise lose: task, domain, instruction keys, verdicts.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from engine.exchange.export_scope import Scope
from engine.exchange.formats import Format
from engine.exchange.record_mapping import REFLECTS_ON, SETS, published, rebuilt, sides_of, trial_record
from engine.exchange.unmapped_fields import Json
from engine.prompts.rollout import (
    VERSIONS,
    Message,
    Problem,
    attempt_messages,
    correction_messages,
    one_stage_beginning,
    one_stage_messages,
    prompt_hash,
    reflection_messages,
)
from engine.tasks.base import render_question
from engine.training.build_examples import pair_instruction
from store.exchange import export_pages
from store.exchange.imported_records import ImportedAttempt, ImportedBranch, ImportedQuestion, ImportedRecord
from store.exchange.imports import StoredImport
from store.records import StoredAttempt, StoredQuestion, StoredReflection

PAGE = 500

UNPROVED = "prompts that this version renders differently than they were sent, left empty"


def records_of(
    connection: sqlite3.Connection, scope: Scope, file_format: Format, remarks: Counter[str]
) -> Iterator[Json]:
    """Yield the records of an iteration in a published format; `remarks` counts deviations for the dataset card."""
    if scope.source is not None and scope.source.format == file_format:
        yield from _imported(connection, scope.source, file_format)
    elif file_format == "raw":
        yield from _raw(connection, scope)
    else:
        yield from _sets(connection, scope, file_format, remarks)


def _imported(connection: sqlite3.Connection, source: StoredImport, file_format: Format) -> Iterator[Json]:
    after = 0
    while page := export_pages.import_page(connection, source.id, after=after, limit=PAGE):
        after = page[-1].number
        yield from imported_records(connection, page, file_format)


def imported_records(
    connection: sqlite3.Connection, page: Sequence[export_pages.StoredImportRecord], file_format: Format
) -> list[Json]:
    """Return imported records as in their file, with normalised field names."""
    attempts = export_pages.attempts_by_id(connection, (one.attempt_id for one in page))
    questions = export_pages.questions_by_id(connection, (one.question_id for one in attempts.values()))
    if file_format == "raw":
        by_attempt = export_pages.reflections_on(connection, attempts)
    else:
        named = [one for row in page for one in (row.reflection_id, row.rejected_reflection_id) if one is not None]
        known = export_pages.reflections_by_id(connection, named)
    reflections = (
        {row.number: by_attempt.get(row.attempt_id, []) for row in page}
        if file_format == "raw"
        else {
            row.number: [known[one] for one in (row.reflection_id, row.rejected_reflection_id) if one is not None]
            for row in page
        }
    )
    corrections = export_pages.corrections_of(connection, (one.id for listed in reflections.values() for one in listed))
    wanted = {name for row in page for name in _named_texts(json.loads(row.remainder))}
    texts = export_pages.import_texts(connection, wanted)
    made = []
    for row in page:
        attempt = attempts[row.attempt_id]
        branches = [_branch(one, corrections[one.id]) for one in reflections[row.number] if one.id in corrections]
        if file_format == "raw":
            branches = [one for one in branches if one.turn == 2]
        record = _rows(questions[attempt.question_id], attempt, branches, row.remainder)
        made.append(published(record, file_format, texts))
    return made


def _named_texts(left: Json) -> Iterator[str]:
    for names in left.get("prompts", {}).values():
        yield from names if isinstance(names, list) else [names]


def _raw(connection: sqlite3.Connection, scope: Scope) -> Iterator[Json]:
    after, every = 0, scope.settings is None
    while page := export_pages.attempt_page(
        connection, scope.iteration.id, after=after, limit=PAGE, every_sample=every
    ):
        after = page[-1].id
        questions = export_pages.questions_by_id(connection, (one.question_id for one in page))
        steps = _steps(connection, [one.id for one in page])
        for attempt in page:
            question = questions[attempt.question_id]
            record = rebuilt(_rows(question, attempt, []), "raw")
            tests = question.payload.get("tests") or ""
            reached = [(0, attempt.id)]
            for place, reflected in reached:
                for reflection, correction in steps.get(reflected, []):
                    trial = trial_record(_tried(correction), correction.turn, [reflection.text])
                    trial |= {"test_list": tests, "instruction": reflection.instruction}
                    if place:
                        trial[REFLECTS_ON] = place
                    record["output"].append(trial)
                    reached.append((len(record["output"]) - 1, correction.id))
            yield {**record, "id": question.id, **_ours(question)}


def _steps(
    connection: sqlite3.Connection, attempt_ids: Sequence[int]
) -> dict[int, list[tuple[StoredReflection, StoredAttempt]]]:
    """Return reflections with their corrections by reflected attempt, for all rounds that begin with these attempts."""
    found: dict[int, list[tuple[StoredReflection, StoredAttempt]]] = {}
    while attempt_ids:
        reflections = export_pages.reflections_on(connection, attempt_ids)
        corrections = export_pages.corrections_of(connection, (one.id for each in reflections.values() for one in each))
        for attempt_id, each in reflections.items():
            found[attempt_id] = [(one, corrections[one.id]) for one in each if one.id in corrections]
        attempt_ids = [one.id for one in corrections.values()]
    return found


def _sets(connection: sqlite3.Connection, scope: Scope, file_format: Format, remarks: Counter[str]) -> Iterator[Json]:
    after, set_name = 0, SETS[file_format]
    assert set_name is not None
    while page := export_pages.curated_page(connection, scope.iteration.id, set_name, after=after, limit=PAGE):
        after = page[-1].id
        named = [one for row in page for one in (row.reflection_id, row.rejected_reflection_id) if one is not None]
        reflections = export_pages.reflections_by_id(connection, named)
        corrections = export_pages.corrections_of(connection, named)
        attempts = export_pages.attempts_by_id(connection, (one.attempt_id for one in reflections.values()))
        questions = export_pages.questions_by_id(connection, (one.question_id for one in attempts.values()))
        problems = scope.problems(connection, questions.values())
        for row in page:
            sides = [reflections[one] for one in (row.reflection_id, row.rejected_reflection_id) if one is not None]
            attempt = attempts[sides[0].attempt_id]
            question = questions[attempt.question_id]
            branches = [_branch(one, corrections[one.id]) for one in sides]
            record = rebuilt(_rows(question, attempt, branches), file_format)
            if scope.settings is not None:
                prompts = _Prompts(scope, question, problems[question.id], remarks)
                record |= prompts.of(file_format, attempt, sides, corrections[sides[0].id])
            record |= {"id": row.id, **_ours(question), "first_trial_is_correct": _said(attempt)}
            for (_, ending), side in zip(sides_of(file_format), sides, strict=True):
                record[f"second_trial_is_correct{ending}"] = _said(corrections[side.id])
                record[f"instruction{ending}"] = side.instruction
            yield record


class _Prompts:
    """Prompts as they were sent: rendered again, and omitted where the stored hash does not confirm them."""

    def __init__(self, scope: Scope, question: StoredQuestion, problem: Problem, remarks: Counter[str]) -> None:
        self._scope, self._question, self._problem, self._remarks = scope, question, problem, remarks

    def of(
        self, file_format: Format, attempt: StoredAttempt, sides: Sequence[StoredReflection], correction: StoredAttempt
    ) -> Json:
        reflection = sides[0]
        said, version = self._scope.feedback(self._question, attempt), reflection.prompt_version
        told_wrong, on = self._scope.told_wrong, (self._problem, attempt.reasoning)

        def forms_with(key: str) -> list[list[Message]]:
            return [
                ask(*on, self._scope.compose(key), told_wrong=told_wrong, detail=said, version=version)
                for ask in (reflection_messages, one_stage_messages)
            ]

        forms = forms_with(reflection.instruction)
        first = self._proved(attempt, [attempt_messages(self._problem)])
        asked = self._proved(reflection, forms)
        if file_format != "d-plus":
            key = pair_instruction(*sides)
            if asked is not None and key != reflection.instruction:
                # A pair of two instructions is trained on with the general one: in the form that was sent.
                sent = next(n for n, form in enumerate(forms) if as_text(form) == asked)
                asked = as_text(forms_with(key)[sent])
            return {"reason_prompt": first, "reflection_prompt": asked}
        again = correction_messages(
            *on,
            reflection.text,
            show_previous_attempt=self._scope.show_previous_attempt,
            told_wrong=told_wrong,
            detail=said,
            version=correction.prompt_version,
        )
        continued: Message = {"role": "assistant", "content": one_stage_beginning(reflection.text)}
        # A correction may come in the reply of its reflection, or continue it.
        both = [first, self._proved(correction, [again, forms[1], [*forms[1], continued]])]
        return {"reason_prompt": None if None in both else both, "reflect_prompt": asked}

    def _proved(self, row: StoredAttempt | StoredReflection, forms: Iterable[Sequence[Message]]) -> str | None:
        """Return the form of a prompt that the stored hash confirms; None, and a remark, if it confirms none."""
        if row.prompt_version in VERSIONS:
            for messages in forms:
                if row.prompt_hash == prompt_hash(messages):
                    return as_text(messages)
        self._remarks[UNPROVED] += 1
        return None


def as_text(messages: Sequence[Message]) -> str:
    """Return chat messages as a single text, as in the published prompts."""
    return "\n\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in messages)


def _ours(question: StoredQuestion) -> Json:
    return {"task": question.task, "domain": question.domain}


def _said(attempt: StoredAttempt) -> bool | None:
    return None if attempt.verdict == "unverified" else attempt.verdict == "correct"


def _rows(
    question: StoredQuestion, attempt: StoredAttempt, branches: Sequence[ImportedBranch], left: str = "{}"
) -> ImportedRecord:
    asked = ImportedQuestion(
        question.task,
        question.domain,
        # Options are part of a published question's text.
        render_question(question.text, question.options) if question.options else question.text,
        question.reference,
        question.content_hash,
    )
    return ImportedRecord(0, asked, _tried(attempt), tuple(branches), None, left)


def _branch(reflection: StoredReflection, correction: StoredAttempt) -> ImportedBranch:
    return ImportedBranch(
        reflection.text, reflection.instruction, reflection.flags, _tried(correction), correction.turn
    )


def _tried(attempt: StoredAttempt) -> ImportedAttempt:
    return ImportedAttempt(attempt.reasoning, attempt.answer, attempt.verdict, attempt.detail)
