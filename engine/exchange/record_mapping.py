"""Maps published records to database rows, and back.

`imported` builds the rows of a record and the remainder that rows cannot store; `published` rebuilds the record from
both. For every normal record `published(imported(record)) == record`: no data is lost.

Pure: no file, no database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.exchange.formats import (
    PROMPT_FIELDS,
    Format,
    first_verdict,
    second_verdict,
    text_of,
    trial_number,
    trial_verdict,
)
from engine.exchange.instruction_labels import instruction_label
from engine.exchange.leak_flags import IN_PROMPT, IN_REFLECTION, reflection_leak, step_leak
from engine.exchange.unmapped_fields import Json, condensed, digest, expanded, remainder, restored
from engine.tasks.base import Question
from store.curation.training_settings import SetName
from store.database.connection import storable
from store.exchange.imported_records import ImportedAttempt, ImportedBranch, ImportedQuestion, ImportedRecord
from store.records import Verdict

SETS: Mapping[Format, SetName | None] = {"raw": None, "d-plus": "d_plus", "d-pm": "d_pm", "d-pref": "d_pref"}
UNKNOWN_DOMAIN = "imported"
LEAK_FLAG = "leak"

REFLECTS_ON = "reflects_on"
"""Field of raw trials that this project exports, after the second: index in `output` of the trial reflected on."""

_SAID: Mapping[Verdict, bool | None] = {"correct": True, "incorrect": False, "unverified": None}
_SOURCES = {"reasoning_source": "N/A", "reflection_source": "N/A"}


@dataclass(frozen=True, slots=True)
class Mapped:
    """A record as rows, and where it leaks the answer (`prompt`, `reflection`)."""

    record: ImportedRecord
    leaks: frozenset[str]


def sides_of(file_format: Format) -> tuple[tuple[str, str], ...]:
    """Return the field of each reflection of a set record, and the suffix of the fields of its second trial."""
    if file_format == "d-plus":
        return (("reflections", ""),)
    return (("reflection_chosen", "_chosen"), ("reflection_rejected", "_rejected"))


def imported(record: Json, file_format: Format, number: int, task: str) -> Mapped:
    """Return the rows of a normal record (see `formats.normal`).

    Args:
        record: The record in normal form.
        file_format: Its format.
        number: Its position in the file, from 1.
        task: Name of the task where the record does not name one.
    """
    question = _question(record, task)
    if file_format == "raw":
        rows, leaks = _raw_rows(record, question, number)
    else:
        rows, leaks = _set_rows(record, file_format, question, number)
    left, texts = _remainder(record, rows, file_format)
    # SQLite cannot store lone surrogates as text; escaped in JSON they are preserved.
    dumped = json.dumps(left, ensure_ascii=True, separators=(",", ":")) if left else "{}"
    return Mapped(replace(rows, remainder=dumped, texts=texts), leaks)


def published(rows: ImportedRecord, file_format: Format, texts: Mapping[str, str]) -> Json:
    """Return the record that rows were built from.

    Args:
        rows: The stored rows.
        file_format: Format of the imported file.
        texts: The shared texts that the remainder references, by digest.
    """
    left: Json = json.loads(rows.remainder)
    base = rebuilt(rows, file_format)
    if file_format == "raw":
        trials = base["output"]
        if "trials" in left:
            made = iter(trials)
            trials = [one["whole"] if "whole" in one else restored(next(made), one) for one in left["trials"]]
        return restored({**base, "output": trials}, left)
    parts = _parts(rows)
    for field, wording in left.get("prompts", {}).items():
        if isinstance(wording, list):
            base[field] = [expanded(texts[one], parts) for one in wording]
        else:
            base[field] = expanded(texts[wording], parts)
    return restored(base, left)


def rebuilt(rows: ImportedRecord, file_format: Format) -> Json:
    """Return a record from its rows alone: the published fields in order, empty where rows do not store them."""
    first = rows.attempt
    if file_format == "raw":
        return {
            "question": rows.question.text,
            "answer": rows.question.reference,
            "id": None,
            "output": [
                trial_record(first, 1, []),
                *(trial_record(one.correction, 2, [one.reflection]) for one in rows.branches if _is_plain(one)),
            ],
        }
    made: Json = {
        "id": None,
        "question": rows.question.text,
        "answer": rows.question.reference,
        "first_trial_reasoning": first.reasoning,
        "first_trial_answer": first.answer or "",
    }
    for (field, ending), branch in zip(sides_of(file_format), rows.branches, strict=True):
        made[f"second_trial_reasoning{ending}"] = branch.correction.reasoning
        made[f"second_trial_answer{ending}"] = branch.correction.answer or ""
        made[field] = branch.reflection
    made["reason_prompt"] = None
    made["reflect_prompt" if file_format == "d-plus" else "reflection_prompt"] = None
    return made


def trial_record(made: ImportedAttempt, number: int, reflections: Sequence[str | None]) -> Json:
    """Return a trial of a raw record."""
    tests = {"test_list": ""} if number > 1 else {}
    return {
        "generated_answer": made.answer or "",
        "reflections": list(reflections),
        "reasoning": made.reasoning,
        "is_correct": _SAID[made.verdict],
        **tests,
        "trial": number,
        **_SOURCES,
    }


def _is_plain(branch: ImportedBranch) -> bool:
    """Check whether rows determine a trial's position: they are a reflection on attempt 1 and its correction."""
    return branch.reflection is not None and branch.on is None and branch.turn == 2


def _question(record: Json, task: str) -> ImportedQuestion:
    named, domain = record.get("task"), record.get("domain")
    made = Question(
        task=storable(named) if isinstance(named, str) and named else task,
        domain=storable(domain) if isinstance(domain, str) and domain else UNKNOWN_DOMAIN,
        split="train",
        text=storable(text_of(record["question"])),
        options=(),
        reference=storable(text_of(record["answer"])),
        payload={},
    )
    return ImportedQuestion(made.task, made.domain, made.text, made.reference, made.content_hash)


def _attempt(reasoning: object, answer: object, judged: tuple[Verdict, str]) -> ImportedAttempt:
    text = None if answer is None else storable(text_of(answer))
    return ImportedAttempt(storable(text_of(reasoning)), text, *judged)


def _raw_rows(record: Json, question: ImportedQuestion, number: int) -> tuple[ImportedRecord, frozenset[str]]:
    trials = record["output"]
    numbers = [trial_number(trial, position) for position, trial in enumerate(trials)]
    made = [_attempt(trial.get("reasoning"), trial.get("generated_answer"), trial_verdict(trial)) for trial in trials]
    branches: list[ImportedBranch] = []
    leaks: set[str] = set()
    for position in range(1, len(trials)):
        trial, given = trials[position], trials[position].get("reflections")
        on = _reflected(trial, numbers, position)
        reflection = storable(text_of(given)) if given else None
        flags = ""
        if reflection is not None and reflection_leak(
            reflection,
            reference=question.reference,
            question=question.text,
            attempt=made[0 if on is None else on].reasoning,
        ):
            leaks.add(IN_REFLECTION)
            flags = LEAK_FLAG
        branches.append(
            ImportedBranch(
                reflection,
                storable(instruction_label(trial.get("instruction"), None)),
                flags,
                made[position],
                turn=max(2, numbers[position]),
                on=None if on is None else on - 1,
            )
        )
    return ImportedRecord(number, question, made[0], tuple(branches), None, "{}"), frozenset(leaks)


def _reflected(trial: Json, numbers: Sequence[int], position: int) -> int | None:
    """Return the index of the trial that a trial reflects on, where that is not the first.

    Records exported by this project state it. In others, a trial from the third on reflects on the newest trial of the
    previous number.
    """
    stated = trial.get(REFLECTS_ON)
    if isinstance(stated, int) and not isinstance(stated, bool) and 0 < stated < position:
        # A row must be stored after the row it references, and rows are stored by turn.
        return stated if numbers[stated] < numbers[position] else None
    before = numbers[position] - 1
    return next((one for one in range(position - 1, 0, -1) if numbers[one] == before), None) if before > 1 else None


def _set_rows(
    record: Json, file_format: Format, question: ImportedQuestion, number: int
) -> tuple[ImportedRecord, frozenset[str]]:
    first = _attempt(record["first_trial_reasoning"], record.get("first_trial_answer"), first_verdict(record))
    asked = _texts(record.get("reflect_prompt" if file_format == "d-plus" else "reflection_prompt"))
    solved = _texts(record.get("reason_prompt"))
    branches: list[ImportedBranch] = []
    leaks: set[str] = set()
    for field, ending in sides_of(file_format):
        second = _attempt(
            record[f"second_trial_reasoning{ending}"],
            record.get(f"second_trial_answer{ending}"),
            second_verdict(record, ending),
        )
        reflection = storable(text_of(record[field]))
        kinds = set()
        if step_leak(asked, solved, reflection=reflection, correction=second.reasoning):
            kinds.add(IN_PROMPT)
        if reflection_leak(reflection, reference=question.reference, question=question.text, attempt=first.reasoning):
            kinds.add(IN_REFLECTION)
        stated = record.get(f"instruction{ending}", record.get("instruction"))
        label = instruction_label(stated, asked[0] if asked else None, question.text, first.reasoning)
        branches.append(ImportedBranch(reflection, storable(label), LEAK_FLAG if kinds else "", second))
        leaks |= kinds
    return ImportedRecord(number, question, first, tuple(branches), SETS[file_format], "{}"), frozenset(leaks)


def _texts(value: object) -> list[str]:
    if isinstance(value, list):
        return [text_of(one) for one in value]
    return [text_of(value)] if value else []


def _parts(rows: ImportedRecord) -> list[str]:
    """Return the texts that prompts are built from, in a fixed order."""
    made = [rows.question.text, rows.attempt.reasoning]
    for branch in rows.branches:
        made += [branch.reflection or "", branch.correction.reasoning]
    return made


def _remainder(record: Json, rows: ImportedRecord, file_format: Format) -> tuple[Json, tuple[tuple[str, str], ...]]:
    """Return what rows do not store of a record, and the shared texts that it references."""
    base = rebuilt(rows, file_format)
    if file_format == "raw":
        made = iter(base["output"])
        trials = [
            remainder(trial, next(made))
            if position == 0 or _is_plain(rows.branches[position - 1])
            else {"whole": trial}
            for position, trial in enumerate(record["output"])
        ]
        left = remainder({**record, "output": base["output"]}, base)
        if any(trials):
            left["trials"] = trials
        return left, ()
    left = remainder(record, base)
    changed: Json = left.get("set", {})
    parts, prompts = _parts(rows), Json()
    texts: dict[str, str] = {}
    for field in PROMPT_FIELDS:
        wordings = [_shared(one, parts) for one in _strings(changed.get(field))]
        found = [one for one in wordings if one is not None]
        if found and len(found) == len(wordings):
            value = changed.pop(field)
            names = [digest(one) for one in found]
            texts.update(zip(names, found, strict=True))
            prompts[field] = names if isinstance(value, list) else names[0]
    if prompts:
        left["prompts"] = prompts
    if not changed:
        left.pop("set", None)
    return left, tuple(texts.items())


def _strings(value: Any) -> list[str]:
    """Return a prompt field as texts; empty when it has another type."""
    listed = value if isinstance(value, list) else [value]
    return listed if all(isinstance(one, str) for one in listed) else []


def _shared(text: str, parts: Sequence[str]) -> str | None:
    return condensed(text, parts) if text.isascii() or storable(text) == text else None
