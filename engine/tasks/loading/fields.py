"""Extracts texts from the rows of a data source by the field names of the settings.

Field names are dotted paths (`answers.text`); a template combines several fields into one question. A row without a
required field is refused with a reason. Independent of files, the hub and answer types.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date

from store.settings.tasks import SourcedTask

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


class RowRefused(Exception):
    """A row can't be turned into a question. The message is the reason, without file and line."""


def field(row: Mapping[str, object], name: str) -> object:
    """Return the value of a field; `a.b` and `a.0` address nested objects and lists. Raises RowRefused if missing."""
    if name in row:
        return row[name]
    value: object = row
    for step in name.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise RowRefused(f"no field {name!r}; the row has {', '.join(map(repr, row)) or 'no fields'}")
    return value


def text_field(row: Mapping[str, object], name: str) -> str:
    """Return a field as text; numbers are converted. Raises RowRefused if it is missing, empty or not a text."""
    value = field(row, name)
    if not is_text(value):
        raise RowRefused(f"field {name!r} holds {kind_of(value)}, not text")
    text = str(value).strip()
    if not text:
        raise RowRefused(f"field {name!r} is empty")
    return text


def asked(settings: SourcedTask, row: Mapping[str, object]) -> str:
    """Return the question of a row: its question field, or the template with every `{field}` filled in.

    Raises RowRefused if a field is missing or empty, because an incomplete question can't be answered.
    """
    if settings.question_template is None:
        return text_field(row, settings.question_field)
    return _PLACEHOLDER.sub(lambda match: _filled(row, match.group(1)), settings.question_template).strip()


def _filled(row: Mapping[str, object], name: str) -> str:
    """Return a field as text, joining the texts of a list with spaces. Raises RowRefused if there is none."""
    value = field(row, name)
    if not isinstance(value, list):
        return text_field(row, name)
    joined = " ".join(texts(value))
    if not joined:
        raise RowRefused(f"field {name!r} is empty")
    return joined


def texts(value: object) -> list[str]:
    """Return the texts of a value and, if it is a list, of its elements in order; skip empty and other values."""
    if isinstance(value, list | tuple):
        return [text for part in value for text in texts(part)]
    text = str(value).strip() if is_text(value) else ""
    return [text] if text else []


def is_text(value: object) -> bool:
    """Check whether a value is a text, or a number or date that can be written as one."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, str | int | float | date) and not isinstance(value, bool)


def kind_of(value: object) -> str:
    """Describe the type of a value for the operator."""
    if isinstance(value, float) and not math.isfinite(value):
        return "no number"
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")
