"""Exports an iteration to a directory: the rows and a dataset card. The directory is created atomically."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import get_args

from engine.exchange.dataset_card import CardFacts, card
from engine.exchange.export_records import records_of
from engine.exchange.export_scope import ExportRefused, Scope, find_scope
from engine.exchange.formats import FORMATS, Format, text_of
from engine.exchange.leak_flags import IN_REFLECTION, step_leak
from engine.exchange.record_mapping import sides_of
from engine.exchange.trl_rows import (
    TRAINER_FORMATS,
    TrainerFormat,
    chosen_setting,
    examples_of,
    gives_away,
    stages_of,
    trainer_row,
)
from engine.exchange.typed_columns import PUBLISHED_COLUMNS, TRAINER_COLUMNS
from engine.exchange.unmapped_fields import Json
from engine.exchange.writers import Encoding, open_writer
from engine.models.durable_directory import publish
from store.database.connection import reading, storable
from store.exchange.export_pages import questions_by_id
from store.settings import TrainingSetting
from store.settings.toml_file import dump_settings
from store.workspace import Workspace

PUBLISHED: Mapping[str, Format] = {f"published-{one}": one for one in FORMATS}
EXPORT_FORMATS: tuple[str, ...] = (*PUBLISHED, *TRAINER_FORMATS)


class _Count:
    """Facts about the rows for the dataset card."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.tasks: Counter[str] = Counter()
        self.remarks: Counter[str] = Counter()
        self.leaking = 0


def export_run(
    workspace: Workspace,
    *,
    run: str,
    number: int | None,
    export_format: str,
    encoding: str,
    destination: Path,
    setting: TrainingSetting = "",
) -> dict[str, object]:
    """Write one iteration of a run in a format; return what was written.

    Args:
        workspace: Workspace of the run.
        run: Name of the run.
        number: Number of the iteration; by default the newest.
        export_format: One of `EXPORT_FORMATS`.
        encoding: `jsonl` or `parquet`.
        destination: Directory to create; its parent must exist, the directory itself must not.
        setting: Training setting, for the formats of trainers; by default the iteration's own.

    Raises:
        ExportRefused: When the iteration or its rows do not exist, or the destination exists or cannot be written.
    """
    destination = destination.expanduser().absolute()
    if export_format not in EXPORT_FORMATS:
        raise ExportRefused(f"there is no format {export_format!r}; formats are: {', '.join(EXPORT_FORMATS)}")
    chosen = next((one for one in get_args(Encoding) if one == encoding), None)
    if chosen is None:
        raise ExportRefused(f"rows are written as {' or '.join(get_args(Encoding))}, not as {encoding!r}")
    if destination.exists() or destination.is_symlink():
        raise ExportRefused(f"{destination} exists already and is never overwritten; choose another --to")
    temporary = destination.parent / f".{destination.name}.tmp-{os.getpid()}"
    with reading(workspace.require().database) as connection:
        scope = find_scope(connection, run, number)
        try:
            temporary.mkdir(mode=0o700)
            (temporary / "data").mkdir()
            if export_format in PUBLISHED:
                used, counted = (
                    "",
                    _write_published(connection, scope, temporary / "data", PUBLISHED[export_format], chosen),
                )
            else:
                trainer = next(one for one in TRAINER_FORMATS if one == export_format)
                used = chosen_setting(scope, trainer, setting)
                counted = _write_examples(connection, scope, temporary / "data", trainer, used, chosen)
            if not counted.rows:
                raise ExportRefused(_nothing(scope, export_format, used))
            facts = _facts(scope, export_format, chosen, counted, used)
            # Texts of a record, e.g. its task, may contain characters that cannot be encoded in a file.
            (temporary / "README.md").write_text(storable(card(facts)), encoding="utf-8")
            publish(temporary, destination)
        except OSError as error:
            raise ExportRefused(f"{destination} can't be written ({error.strerror or error})") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return {
        "run": scope.run.name,
        "iteration": scope.iteration.number,
        "format": export_format,
        "directory": str(destination),
        "rows": dict(counted.rows),
        "leaking": counted.leaking,
        "remarks": dict(counted.remarks),
    }


def _write_published(
    connection: sqlite3.Connection, scope: Scope, directory: Path, file_format: Format, encoding: Encoding
) -> _Count:
    count = _Count()
    with open_writer(directory / "train", encoding, PUBLISHED_COLUMNS[file_format]) as writer:
        for record in records_of(connection, scope, file_format, count.remarks):
            writer.write(record)
            count.rows["train"] += 1
            task = record.get("task")
            count.tasks[task if isinstance(task, str) else _imported_task(scope)] += 1
            count.leaking += file_format != "raw" and _gives_away(record, file_format)
    return count


def _write_examples(
    connection: sqlite3.Connection,
    scope: Scope,
    directory: Path,
    trainer_format: TrainerFormat,
    setting: TrainingSetting,
    encoding: Encoding,
) -> _Count:
    count = _Count()
    columns = TRAINER_COLUMNS[trainer_format]
    names = stages_of(setting)
    with ExitStack() as stack:
        writers = [stack.enter_context(open_writer(directory / name, encoding, columns)) for name in names]
        for page in examples_of(connection, scope, setting):
            questions = questions_by_id(
                connection, (one.question_id for examples in page for one in examples if one.question_id is not None)
            )
            for examples in page:
                for name, writer, example in zip(names, writers, examples, strict=True):
                    writer.write(trainer_row(example))
                    count.rows[name] += 1
                    count.leaking += gives_away(example)
                question = questions.get(examples[0].question_id or 0)
                count.tasks[question.task if question else "unknown"] += 1
    return count


def _gives_away(record: Json, file_format: Format) -> bool:
    """Check whether a prompt of a published record contains the text to be learnt from it."""
    asked = _texts(record.get("reflect_prompt" if file_format == "d-plus" else "reflection_prompt"))
    solved = _texts(record.get("reason_prompt"))
    return any(
        step_leak(
            asked,
            solved,
            reflection=text_of(record.get(field)),
            correction=text_of(record.get(f"second_trial_reasoning{ending}")),
        )
        for field, ending in sides_of(file_format)
    )


def _texts(value: object) -> list[str]:
    return [text_of(one) for one in value] if isinstance(value, list) else [text_of(value)]


def _imported_task(scope: Scope) -> str:
    given = scope.run.settings.get("import")
    return str(given["task"]) if isinstance(given, Mapping) else "unknown"


def _nothing(scope: Scope, export_format: str, setting: TrainingSetting) -> str:
    where = f"iteration {scope.iteration.number} of run {scope.run.name!r}"
    what = f"{export_format} ({setting})" if setting else export_format
    why = "it has no such rows"
    if scope.source is not None:
        why = f"it was imported as {scope.source.format}, which has no such rows"
    elif scope.iteration.state != "done":
        why = f"it is {scope.iteration.state}, and has no such rows yet"
    return f"there is nothing to export as {what} from {where}: {why}"


def _facts(scope: Scope, export_format: str, encoding: Encoding, count: _Count, setting: TrainingSetting) -> CardFacts:
    remarks = dict(count.remarks)
    if scope.source is not None:
        leaks = scope.source.details.get("leaks")
        stated = leaks.get(IN_REFLECTION) if isinstance(leaks, Mapping) else None
        if stated:
            remarks["records of the imported file have a reflection that states the reference answer"] = stated
    try:
        installed = version("reflectevo")
    except PackageNotFoundError:
        installed = "(not installed)"
    return CardFacts(
        run=scope.run.name,
        iteration=scope.iteration.number,
        file_format=export_format,
        encoding=encoding,
        base_model=scope.run.base_model,
        rows=dict(count.rows),
        tasks=dict(count.tasks.most_common()),
        leaking=count.leaking,
        setting=setting,
        settings="" if scope.settings is None else dump_settings(scope.settings),
        source="" if scope.source is None else Path(scope.source.path).name,
        remarks=remarks,
        version=installed,
    )
