"""Reads questions from local JSONL files and divides them into train, test and few-shot rows.

Robust about rows: one that can't be read is named by file and line, and the others load. Strict about
contamination: train, test and few-shot examples never share a question, whatever the files hold. Knows
nothing of answer types: a task type hands in how one row becomes a question.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import TaskError
from engine.tasks.base import Example, Loaded, Question, SkippedRow, Split
from store.task_settings import SourcedTask

MakeQuestion = Callable[[Mapping[str, object], Split], Question]
"""Turns a row into a question; raises RowRefused with the reason when it can't."""

MakeExample = Callable[[Question, Mapping[str, object]], Example]
"""Turns a question and its row into a worked example."""


class RowRefused(Exception):
    """A row can't become a question; the text says why, without file and line."""


@dataclass(frozen=True)
class Row:
    """One readable row of a JSONL file."""

    line: int
    """1 is the first line."""
    values: Mapping[str, object]


@dataclass(frozen=True)
class _Item:
    row: Row
    question: Question


def read_rows(path: Path) -> tuple[tuple[Row, ...], tuple[SkippedRow, ...]]:
    """The rows of a JSONL file, and the lines that aren't rows, each with the reason.

    Raises TaskError when the file is missing, unreadable, empty, or holds no readable row at all.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise TaskError(f"{path}: no such file; check the task's path (it is relative to the settings file)") from None
    except OSError as error:
        raise TaskError(f"{path}: can't be read ({error.strerror or error})") from error
    rows: list[Row] = []
    skipped: list[SkippedRow] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(Row(number, _object(line)))
        except RowRefused as refusal:
            skipped.append(SkippedRow(str(path), number, str(refusal)))
    if not rows:
        if skipped:
            first = skipped[0]
            raise TaskError(f"{path}: no line is a JSON object; line {first.line}: {first.reason}")
        raise TaskError(f"{path}: the file is empty")
    return tuple(rows), tuple(skipped)


def text_field(row: Mapping[str, object], name: str) -> str:
    """A field as text; numbers become text. Raises RowRefused when it is missing, empty or of another kind."""
    if name not in row:
        raise RowRefused(f"no field {name!r}; the row has {', '.join(map(repr, row)) or 'no fields'}")
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RowRefused(f"field {name!r} holds {_kind(value)}, not text")
    text = str(value).strip()
    if not text:
        raise RowRefused(f"field {name!r} is empty")
    return text


def load_local(
    settings: SourcedTask, base_dir: Path, seed: int, make_question: MakeQuestion, make_example: MakeExample
) -> Loaded:
    """The questions of a local-file task, divided by a seeded order that depends on each question's content.

    With `test_path` the held-out questions come from there, and no question of that file is trained on.
    Without it, held-out rows and few-shot rows are set aside from `path` first. Fewer questions than wanted
    are taken as they are and noted. Raises TaskError when a file can't be used or leaves nothing to train on.
    """
    if settings.path is None:
        raise TaskError(f"task {settings.name!r}: hub datasets are not read yet; give a local path")
    path = base_dir / settings.path
    items, skipped = _items(path, "train", make_question)
    notes: list[str] = []

    def order(item: _Item) -> str:
        return hashlib.sha256(f"{seed}|{item.question.content_hash}".encode()).hexdigest()

    if settings.test_path is not None:
        held_path = base_dir / settings.test_path
        held, held_skipped = _items(held_path, "test", make_question)
        skipped += held_skipped
        taken = {item.question.wording for item in held}
        for item in items:
            if item.question.wording in taken:
                reason = f"the same question is held out in {held_path.name}"
                skipped.append(SkippedRow(str(path), item.row.line, reason))
        rest = sorted((item for item in items if item.question.wording not in taken), key=order)
        shown, rest = _split(rest, settings.few_shot)
        tested = sorted(held, key=order)[: settings.test]
    else:
        held_out = _held_out_count(len(items) - settings.few_shot, settings.train, settings.test)
        tested, rest = _split(sorted(items, key=order), held_out)
        shown, rest = _split(rest, settings.few_shot)
    trained = rest[: settings.train]
    if not trained:
        why = skipped[0].reason if skipped else "every row is held out or shown as an example"
        raise TaskError(f"task {settings.name!r}: {path} leaves no question to train on ({why})")
    for split, got, wanted in (
        ("training questions", len(trained), settings.train),
        ("held-out questions", len(tested), settings.test),
        ("worked examples", len(shown), settings.few_shot),
    ):
        if got < wanted:
            notes.append(f"task {settings.name!r}: {got} {split} instead of {wanted}: the files hold no more")
    return Loaded(
        train=tuple(item.question for item in trained),
        test=tuple(replace(item.question, split="test") for item in tested),
        few_shot=tuple(make_example(item.question, item.row.values) for item in shown),
        skipped=tuple(skipped),
        notes=tuple(notes),
    )


def _object(line: bytes) -> dict[str, object]:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise RowRefused("not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise RowRefused(f"not JSON, perhaps a torn line ({error})") from None
    if not isinstance(value, dict):
        raise RowRefused(f"{_kind(value)} instead of a JSON object")
    return value


def _items(path: Path, split: Split, make_question: MakeQuestion) -> tuple[list[_Item], list[SkippedRow]]:
    """The distinct questions of one file, and the rows left out."""
    rows, unreadable = read_rows(path)
    skipped = list(unreadable)
    first_lines: dict[str, int] = {}
    items: list[_Item] = []
    for row in rows:
        try:
            question = make_question(row.values, split)
        except RowRefused as refusal:
            skipped.append(SkippedRow(str(path), row.line, str(refusal)))
            continue
        first = first_lines.setdefault(question.wording, row.line)
        if first == row.line:
            items.append(_Item(row, question))
        else:
            skipped.append(SkippedRow(str(path), row.line, f"the same question as line {first}"))
    if not items:
        raise TaskError(f"{path}: no row can be used; line {skipped[0].line}: {skipped[0].reason}")
    return items, skipped


def _split(items: list[_Item], count: int) -> tuple[list[_Item], list[_Item]]:
    return items[:count], items[count:]


def _held_out_count(available: int, train: int, test: int) -> int:
    """How many rows to hold out: as many as wanted, or the wanted share when there are too few rows."""
    if available >= train + test:
        return test
    return max(0, min(available * test // (train + test), available - 1))


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
