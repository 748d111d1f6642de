"""Reads the rows of a dataset with the `datasets` library: from the hub, or from a directory that the library saved.

Never runs code of a dataset. A dataset that can't be loaded raises one error: which dataset, why, and what to do
instead. Independent of questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.errors import TaskError
from engine.tasks.base import Row, SkippedRow
from store.settings.tasks import SourcedTask

_UNREACHED = (
    "the hub isn't reached. Download the dataset where there is a connection and give its file as path "
    "(JSONL, JSON, CSV or Parquet), or give the directory that save_to_disk wrote as hub"
)
_CONNECTION_ERRORS = {"ConnectionError", "ConnectError", "TimeoutException", "LocalEntryNotFoundError"}
_SCRIPTED = (
    "it comes with a loading script, which is not run. Try revision = 'refs/convert/parquet' (its configuration is "
    "then 'default'), or download it and give its file as path"
)


def read_hub(settings: SourcedTask, base_dir: Path, split: str) -> tuple[str, Iterator[Row | SkippedRow]]:
    """Return the name of a dataset's split for messages, and an iterator over its rows.

    `settings.hub` is a name on the hub, or a directory (relative to `base_dir`) that contains data files or was
    written by `save_to_disk`.

    Raises:
        TaskError: if the dataset can't be loaded.
    """
    try:
        library = import_module("datasets")
    except ImportError as error:
        message = f"task {settings.name!r}: hub datasets need the library datasets: pip install 'reflectevo[engine]'"
        raise TaskError(f"{message} ({error})") from error
    named = f"{settings.hub}{f' ({settings.config})' if settings.config else ''}, split {split}"
    try:
        dataset = _loaded(library, settings, base_dir / str(settings.hub), split)
    except Exception as error:  # the library and its dependencies raise dozens of types
        raise TaskError(f"task {settings.name!r}: the dataset {named} can't be loaded: {_reason(error)}") from error
    return named, (Row(number, values) for number, values in enumerate(dataset, start=1))


def _loaded(library: Any, settings: SourcedTask, directory: Path, split: str) -> Any:
    if not directory.is_dir():
        return library.load_dataset(settings.hub, settings.config, revision=settings.revision, split=split)
    if (directory / "dataset_dict.json").is_file():
        splits = library.load_from_disk(str(directory))
        if split not in splits:
            raise ValueError(f"it has no split {split!r}; it has {', '.join(splits)}")
        return splits[split]
    if (directory / "state.json").is_file():
        return library.load_from_disk(str(directory))
    return library.load_dataset(str(directory), settings.config, split=split)


def _reason(error: Exception) -> str:
    """Explain to the operator why a dataset can't be loaded; the library's own message where that is clear."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    if "Dataset scripts are no longer supported" in str(error):
        return _SCRIPTED
    if names & _CONNECTION_ERRORS:
        return f"{_UNREACHED} ({_first_line(error)})"
    if "DatasetNotFoundError" in names:
        return f"{_first_line(error)}. Check hub and revision; a gated dataset needs a login"
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
