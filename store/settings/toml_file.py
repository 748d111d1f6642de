"""Reads run settings from TOML; errors name the key, file and line, and the nearest valid key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from store.errors import SettingsError
from store.settings import RunSettings
from store.settings.tasks import TASK_SECTIONS, kind_of

_TABLE = re.compile(r"^\s*\[(\[?)\s*([^\]]+?)\s*\]")
_ASSIGNMENT = re.compile(r"""^\s*("[^"]*"|'[^']*'|[A-Za-z0-9_.-]+)\s*=""")


def line_of(text: str, location: tuple[str | int, ...]) -> int | None:
    """Return the line (from 1) of a key in TOML text, or that of the nearest enclosing table; None if there is neither.

    Args:
        text: the TOML.
        location: keys and array positions from the root, e.g. `("tasks", 1, "dataset")`.
    """
    keys = tuple(str(part) for part in location)
    around: tuple[int, int] | None = None
    within: int | None = None
    table: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        heading = _TABLE.match(line)
        assignment = None if heading else _ASSIGNMENT.match(line)
        if heading:
            path = table = _table_path(heading, counts)
        elif assignment:
            path = (*table, *assignment.group(1).strip("\"'").split("."))
        else:
            continue
        if path == keys[: len(path)] and (around is None or len(path) > around[0]):
            around = (len(path), number)
        elif path[: len(keys)] == keys and within is None:
            within = number
    return around[1] if around else within


def _table_path(heading: re.Match[str], counts: dict[tuple[str, ...], int]) -> tuple[str, ...]:
    """Return the path of a table heading, with positions in arrays of tables; updates `counts`."""
    path: tuple[str, ...] = ()
    *outer, last = (part.strip().strip("\"'") for part in heading.group(2).split("."))
    for part in outer:
        path = (*path, part)
        if path in counts:
            path = (*path, str(counts[path] - 1))
    path = (*path, last)
    if heading.group(1):
        counts[path] = counts.get(path, 0) + 1
        path = (*path, str(counts[path] - 1))
    return path


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """Return the settings sections that an annotation may contain."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    for argument in get_args(annotation):
        found.extend(_sections(argument))
    return found


def valid_keys(location: tuple[str | int, ...]) -> list[str]:
    """Return the valid keys of the section that the last key of a location is in."""
    sections: list[type[BaseModel]] = [RunSettings]
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        inner = [
            found
            for section in sections
            if part in section.model_fields
            for found in _sections(section.model_fields[part].annotation)
        ]
        chosen = [section for section in sections if kind_of(section) == part]
        sections = inner or chosen or sections
    return sorted({name for section in sections for name in section.model_fields})


def _without_kind(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Drop the tag that pydantic inserts into a location for the task kind."""
    if len(location) > 2 and location[0] == "tasks" and isinstance(location[1], int):
        return (*location[:2], *location[3:])
    return location


def _written(location: tuple[str | int, ...], values: Any) -> tuple[str | int, ...]:
    """Return the part of a location that the file contains: pydantic appends the name of each type of a union."""
    found: list[str | int] = []
    for part in location:
        in_table = isinstance(values, Mapping) and part in values
        in_list = isinstance(values, list) and isinstance(part, int) and part < len(values)
        if not (in_table or in_list):
            break
        found.append(part)
        values = values[part]
    return tuple(found)


def _explain(error: Any, text: str, source: str, location: tuple[str | int, ...], expected: str) -> str:
    # An error of a section's own validator refers to the section; a missing key is reported at its table.
    line = line_of(text, (*location, "kind") if error["type"] == "union_tag_invalid" else location)
    place = f"{source}, line {line}" if line else source
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".") or "settings"
    if error["type"] == "extra_forbidden":
        known = valid_keys(tuple(error["loc"]))
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"{place}: unknown setting {key!r}; {hint}"
    if error["type"] == "missing":
        return f"{place}: {key!r} is missing"
    kinds = ", ".join(TASK_SECTIONS)
    if error["type"] == "union_tag_not_found":
        return f"{place}: '{key}.kind' is missing; it is one of {kinds}"
    if error["type"] == "union_tag_invalid":
        tag = str(error["ctx"]["tag"])
        near = difflib.get_close_matches(tag, TASK_SECTIONS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{place}: '{key}.kind' must be one of {kinds} (it is {tag!r}){hint}"
    given = error.get("input")
    tables = isinstance(given, Mapping) or (isinstance(given, list) and any(isinstance(one, Mapping) for one in given))
    return f"{place}: {key!r}: {expected}" + ("" if tables else f" (it is {given!r})")


def _explain_all(errors: list[Any], values: object, text: str, source: str) -> list[str]:
    """Format one line per mistake; a value that matches no type of a union is one mistake."""
    firsts: list[tuple[Any, tuple[str | int, ...]]] = []
    alternatives: dict[tuple[str | int, ...], list[str]] = {}
    for error in errors:
        location = _without_kind(tuple(error["loc"]))
        written = _written(location, values)
        if error["type"] == "missing" or len(written) == len(location):
            firsts.append((error, location))
            continue
        message = _message(error)
        if written not in alternatives:
            firsts.append((error, written))
        elif error["input"] != next(one["input"] for one, place in firsts if place == written):
            continue  # concerns a part of the value, as another type of the union would have it
        else:
            message = message.removeprefix("Input should be ")
        if message not in alternatives.setdefault(written, []):
            alternatives[written].append(message)
    return [
        _explain(error, text, source, location, " or ".join(alternatives.get(location, [_message(error)])))
        for error, location in firsts
    ]


def _message(error: Any) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


def parse_settings(text: str, source: str = "settings") -> RunSettings:
    """Parse settings from TOML text.

    Args:
        text: the TOML.
        source: name of the file in error messages.

    Raises:
        SettingsError: one line for each mistake.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{source} is not valid TOML: {error}") from error
    return validate_settings(values, text, source)


def validate_settings(values: Mapping[str, object], text: str = "", source: str = "settings") -> RunSettings:
    """Validate settings given as plain values.

    Args:
        values: the settings, as `tomllib` parses them.
        text: the TOML they were parsed from, for line numbers in error messages.
        source: name of the file in error messages.

    Raises:
        SettingsError: one line for each mistake.
    """
    try:
        return RunSettings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain_all(error.errors(), values, text, source))) from error


def load_settings(path: Path) -> RunSettings:
    """Read settings from a TOML file.

    Raises:
        SettingsError: when the file is missing, unreadable, not UTF-8, not TOML, or has invalid settings.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SettingsError(f"there is no settings file at {path}; make one with: reflectevo init") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise SettingsError(f"can't read {path}: {error.strerror}") from error
    return parse_settings(text, str(path))


def dump_settings(settings: RunSettings) -> str:
    """Return settings as TOML text, including defaults."""
    import tomlkit

    return tomlkit.dumps(settings.model_dump(mode="json", exclude_none=True))
