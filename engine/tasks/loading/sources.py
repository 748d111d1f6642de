"""Reads questions from local files or the hub and splits them into train, dev, test and few-shot rows.

Tolerant of bad rows: a row that can't be read is reported with its location, and the others are loaded. Strict about
contamination: train, dev, test and few-shot examples never share a question, whatever the sources contain. Independent
of answer types: the task type passes the function that turns a row into a question.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from engine.errors import TaskError
from engine.tasks.base import Example, Loaded, Question, Row, SkippedRow
from engine.tasks.loading.fields import RowRefused, text_field
from engine.tasks.loading.files import read_rows
from engine.tasks.loading.hub import read_hub
from store.records import Split
from store.settings.tasks import SourcedTask

MakeQuestion = Callable[[Mapping[str, object], Split], Question]
"""Turns a row into a question; raises RowRefused with the reason if that is impossible."""

MakeExample = Callable[[Question, Mapping[str, object]], Example]
"""Turns a question and its row into a worked example."""


class Source(NamedTuple):
    """A source of rows, with the name that messages use for it."""

    name: str
    rows: Iterator[Row | SkippedRow]
    unit: Literal["line", "row"]


@dataclass(frozen=True)
class _Item:
    row: Row
    question: Question


def load_local(
    settings: SourcedTask, base_dir: Path, seed: int, make_question: MakeQuestion, make_example: MakeExample
) -> Loaded:
    """Load the questions of a task and split them in a seeded order that depends on each question's content.

    With `test_path` or `test_split` the held-out questions come from there, and questions that also occur there are
    removed from training. Otherwise held-out rows are split off first, then dev rows and few-shot rows. If the source
    has fewer questions than requested, all are used and a note is added.

    Args:
        settings: the settings of the task.
        base_dir: the directory that relative paths refer to.
        seed: the seed of the order.
        make_question: turns a row into a question.
        make_example: turns a question and its row into a worked example.

    Raises:
        TaskError: if a source can't be used or leaves no question to train on.
    """
    source, held_source = _sources(settings, base_dir)
    items, skipped = _items(settings, source, "train", make_question)

    def order(item: _Item) -> str:
        return hashlib.sha256(f"{seed}|{item.question.content_hash}".encode()).hexdigest()

    if held_source is not None:
        held, held_skipped = _items(settings, held_source, "test", make_question)
        skipped += held_skipped
        taken = {item.question.wording for item in held}
        for item in items:
            if item.question.wording in taken:
                reason = f"the same question is held out in {held_source.name}"
                skipped.append(SkippedRow(source.name, item.row.number, reason, source.unit))
        rest = sorted((item for item in items if item.question.wording not in taken), key=order)
        tested = sorted(held, key=order)[: settings.test]
        tuned, rest = _split(rest, _share(len(rest) - settings.few_shot, settings.dev, settings.train))
    else:
        wanted = settings.test + settings.dev
        aside = _share(len(items) - settings.few_shot, wanted, settings.train)
        first, rest = _split(sorted(items, key=order), aside)
        tested, tuned = _split(first, settings.test if aside == wanted else aside * settings.test // wanted)
    shown, rest = _split(rest, settings.few_shot)
    trained = rest[: settings.train]
    if not trained and settings.train:
        why = skipped[0].reason if skipped else "every row is held out or shown as an example"
        raise TaskError(f"task {settings.name!r}: {source.name} leaves no question to train on ({why})")
    notes = tuple(
        f"task {settings.name!r}: {got} {what} instead of {wanted}: the source has no more"
        for what, got, wanted in (
            ("training questions", len(trained), settings.train),
            ("questions for tuning", len(tuned), settings.dev),
            ("held-out questions", len(tested), settings.test),
            ("worked examples", len(shown), settings.few_shot),
        )
        if got < wanted
    )
    return Loaded(
        train=tuple(item.question for item in trained),
        dev=tuple(replace(item.question, split="dev") for item in tuned),
        test=tuple(replace(item.question, split="test") for item in tested),
        few_shot=tuple(make_example(item.question, item.row.values) for item in shown),
        skipped=tuple(skipped),
        notes=notes,
    )


def _sources(settings: SourcedTask, base_dir: Path) -> tuple[Source, Source | None]:
    """Return the training source, and the held-out source if there is one."""
    held = base_dir / settings.test_path if settings.test_path is not None else None
    held_source = None if held is None else _file(held)
    if settings.path is not None:
        return _file(base_dir / settings.path), held_source
    source = Source(*read_hub(settings, base_dir, settings.split), "row")
    if held_source is None and settings.test_split is not None:
        held_source = Source(*read_hub(settings, base_dir, settings.test_split), "row")
    return source, held_source


def _file(path: Path) -> Source:
    return Source(str(path), read_rows(path), "row" if path.suffix.lower() in (".parquet", ".json") else "line")


def _items(
    settings: SourcedTask, source: Source, split: Split, make_question: MakeQuestion
) -> tuple[list[_Item], list[SkippedRow]]:
    """Return the distinct questions of one source, and the skipped rows."""
    skipped: list[SkippedRow] = []
    first_places: dict[str, int] = {}
    first_ids: dict[str, int] = {}
    items: list[_Item] = []
    for row in source.rows:
        if isinstance(row, SkippedRow):
            skipped.append(row)
            continue
        try:
            if settings.id_field is not None:
                _refuse_known(first_ids, text_field(row.values, settings.id_field), row.number, source.unit, "id")
            question = make_question(row.values, split)
            _refuse_known(first_places, question.wording, row.number, source.unit, "question")
        except RowRefused as refusal:
            skipped.append(SkippedRow(source.name, row.number, str(refusal), source.unit))
            continue
        items.append(_Item(row, question))
    if not items:
        raise TaskError(f"task {settings.name!r}: {_nothing_usable(source, skipped)}")
    return items, skipped


def _refuse_known(seen: dict[str, int], key: str, number: int, unit: str, what: str) -> None:
    first = seen.setdefault(key, number)
    if first != number:
        shown = f" {key!r}" if what == "id" else ""
        raise RowRefused(f"the same {what}{shown} as {unit} {first}")


def _nothing_usable(source: Source, skipped: list[SkippedRow]) -> str:
    if not skipped:
        return f"{source.name}: the source is empty"
    reason, count = Counter(row.reason for row in skipped).most_common(1)[0]
    first = next(row for row in skipped if row.reason == reason)
    shares = "" if count == 1 else f", and {count - 1} more for the same reason"
    return f"{source.name}: no row can be used; {first.unit} {first.line}: {reason}{shares}"


def _split(items: list[_Item], count: int) -> tuple[list[_Item], list[_Item]]:
    return items[:count], items[count:]


def _share(available: int, wanted: int, train: int) -> int:
    """Return how many rows to split off: as many as requested, or the same proportion of too few rows."""
    if available >= train + wanted:
        return wanted
    return max(0, min(available * wanted // (train + wanted), available - 1))
