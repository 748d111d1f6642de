"""What of a record the rows don't hold, so that nothing of it is lost.

`remainder` compares a record with what would be rebuilt from its rows and keeps the difference; `restored` puts both
together again. Whatever the record holds, `restored(rebuilt, remainder(record, rebuilt)) == record`.

Prompts repeat the question, the attempt and the reflection around wording that thousands of records share: they are
kept as a reference to that wording (`condensed`).

Pure: knows nothing of formats or databases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

_SHORTEST_PART = 16
"""Shorter texts occur by chance; to cut them out would leave each prompt with a wording of its own."""
_OPEN, _CLOSE = "\ue000", "\ue001"

Json = dict[str, Any]


def same(one: object, other: object) -> bool:
    """Equal as JSON: `1`, `1.0` and `true` are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, str):
        return one == other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


def remainder(record: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> Json:
    """The fields of a record that are not as rebuilt (`set`), and the rebuilt ones that it lacks (`absent`)."""
    changed = {
        key: value
        for key, value in record.items()
        # The same object needs no comparison, and neither a text nor a record of 460,000 has time for one.
        if key not in rebuilt or not (value is rebuilt[key] or same(value, rebuilt[key]))
    }
    absent = [key for key in rebuilt if key not in record]
    left: Json = {}
    if changed:
        left["set"] = changed
    if absent:
        left["absent"] = absent
    return left


def restored(rebuilt: Mapping[str, Any], left: Mapping[str, Any]) -> Json:
    """The record: what was rebuilt, with what the rows don't hold. Rebuilt fields keep their place."""
    absent = left.get("absent", ())
    return {key: value for key, value in {**rebuilt, **left.get("set", {})}.items() if key not in absent}


def condensed(text: str, parts: Sequence[str]) -> str | None:
    """The wording of a prompt: the text with each part replaced by its number; None where that can't be undone."""
    if _OPEN in text:
        return None
    wording = text
    for mark, part in sorted(_marked(parts), key=lambda item: -len(item[1])):
        if len(part) >= _SHORTEST_PART:
            wording = wording.replace(part, mark)
    return wording if expanded(wording, parts) == text else None


def expanded(wording: str, parts: Sequence[str]) -> str:
    """The prompt that a wording was made of, with the same parts."""
    if _OPEN in wording:
        for mark, part in _marked(parts):
            wording = wording.replace(mark, part)
    return wording


def _marked(parts: Sequence[str]) -> list[tuple[str, str]]:
    """Each part as it is, and without the white space around it, with the mark that stands for it."""
    marked = []
    for number, part in enumerate(parts):
        marked.append((f"{_OPEN}{number}{_CLOSE}", part))
        if (bare := part.strip()) != part:
            marked.append((f"{_OPEN}{number} bare{_CLOSE}", bare))
    return marked


@lru_cache(maxsize=256)
def digest(text: str) -> str:
    """What a wording is referred to by: 128 bits of its SHA-256, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
